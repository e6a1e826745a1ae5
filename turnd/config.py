"""The `turnd` section of the configuration."""

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from fairlead.buckets import Rate
from fairlead.config import AddressSetting, DaemonSettings, Settings
from fairlead.datagram import Transport
from fairlead.listeners import LARGEST_BUFFER, BufferSettings, ListenerSetting, one_of, parse_listener
from fairlead.native import EngineChoice
from fairlead.rates import MOST_BUCKETS, RateSettings
from fairlead.streams import StreamSettings
from turnd.dataplane.contract import Io
from turnd.protocol.peer_policy import PeerPolicy
from turnd.protocol.settings import ChannelRange, Expiry


def _is_host(text: str) -> str:
    """One address that packets come from and go to; a relayed address is a promise to a client."""
    address = ipaddress.ip_address(text)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise ValueError(f"{text} is an IPv4 address in another form; write {address.ipv4_mapped}")
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise ValueError(f"{text} is of this machine's link alone; write an address that clients elsewhere can reach")
    if address.is_unspecified or address.is_multicast or text == "255.255.255.255":
        raise ValueError(f"{text} is no single address; write one of this machine's, or nothing to have one chosen")
    return str(address)


def _one_per_family(hosts: tuple[str, ...]) -> tuple[str, ...]:
    if len({":" in host for host in hosts}) < len(hosts):
        raise ValueError("two addresses of one family; relaying uses one IPv4 and one IPv6 address")
    return hosts


_PORT_RANGE = re.compile(r"(\d{1,5})-(\d{1,5})")


def _is_port_range(text: str) -> str:
    match = _PORT_RANGE.fullmatch(text)
    if match is None or not 0 < int(match[1]) <= int(match[2]) <= 65535:
        raise ValueError("no range of ports; write it as FIRST-LAST, from 1 to 65535")
    return text


Host = Annotated[str, AfterValidator(_is_host)]
Hosts = Annotated[tuple[Host, ...], AfterValidator(_one_per_family)]


class RelaySettings(Settings):
    """Where relay sockets are bound, and what clients are told."""

    #: at most one per family; empty: the machine's first address that is not loopback, else loopback
    address: Hosts = ()
    #: what clients are told instead, behind a 1:1 NAT; at most one per family
    advertise: Hosts = ()
    ports: Annotated[str, AfterValidator(_is_port_range)] = "49152-65535"
    #: seconds that a freed port rests before its next owner
    port_hold: float = Field(default=30, ge=0)

    @property
    def port_range(self) -> tuple[int, int]:
        first, _, last = self.ports.partition("-")
        return int(first), int(last)


#: What LIFETIME has room for (RFC 8656 section 18.2).
_LONGEST_LIFETIME = 0xFFFFFFFF


class LifetimeSettings(Settings):
    """Seconds that an allocation lives without a refresh."""

    default: int = Field(default=600, ge=1, le=_LONGEST_LIFETIME)
    max: int = Field(default=3600, ge=1, le=_LONGEST_LIFETIME)

    @model_validator(mode="after")
    def _default_is_not_above(self) -> "LifetimeSettings":
        if self.default > self.max:
            raise ValueError(f"the default of {self.default} is above the max of {self.max}; raise max")
        return self


class PeerSettings(Settings):
    """Whom clients may reach: addresses, CIDR blocks, FROM-TO ranges, or class words such as `private`."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()

    @field_validator("allow", "deny")
    @classmethod
    def _means_something(cls, entries: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.field_name == "allow":
            PeerPolicy.parse(allow=entries)
        else:
            PeerPolicy.parse(deny=entries)
        return entries


class BytesSettings(Settings):
    """A token bucket of bytes; rate 0 switches it off."""

    #: a second
    rate: float = Field(default=0, ge=0)
    #: at once; the largest packet has to fit
    burst: int = Field(default=1048576, ge=65536)

    @property
    def as_rate(self) -> Rate:
        return Rate(self.rate, self.burst)


class BandwidthSettings(Settings):
    """Bytes of application data, both directions together; packets above are dropped."""

    allocation: BytesSettings = BytesSettings()
    #: all allocations of a user
    user: BytesSettings = BytesSettings()


class QuotaSettings(Settings):
    """How much there may be; 0 is no limit for the first three."""

    allocations: int = Field(default=0, ge=0)
    per_user: int = Field(default=64, ge=0)
    per_source: int = Field(default=0, ge=0)
    #: allocations beyond per_user and per_source while they are younger than burst_seconds
    burst: int = Field(default=32, ge=0)
    burst_seconds: float = Field(default=30, ge=0)
    #: per allocation
    permissions: int = Field(default=256, ge=1)
    channels: int = Field(default=256, ge=1)
    bandwidth: BandwidthSettings = BandwidthSettings()


class LimitSettings(Settings):
    """Unauthenticated replies a second, per source (/32, /64)."""

    #: requests over UDP
    bindings: RateSettings = RateSettings(rate=1000, burst=5000)
    challenges: RateSettings = RateSettings(rate=100, burst=500)
    failures: RateSettings = RateSettings(rate=20, burst=40)
    #: buckets of each kind; more sources than this share them
    buckets: int = Field(default=65536, ge=1, le=MOST_BUCKETS)


class RelayBufferSettings(BufferSettings):
    """`listeners` is SO_RCVBUF of each UDP listener, where the bursts of all clients arrive; `receive` is that of each
    relay socket, of which there may be thousands."""

    listeners: int = Field(default=4 << 20, ge=0, le=LARGEST_BUFFER)


class TurndSettings(DaemonSettings):
    """All of the section."""

    listen: tuple[Annotated[ListenerSetting, one_of(Transport.UDP, Transport.TCP)], ...] = (
        parse_listener("udp://*:3478"),
        parse_listener("tcp://*:3478"),
    )
    #: used when tls.certificate is set
    listen_tls: tuple[Annotated[ListenerSetting, one_of(Transport.TLS)], ...] = (parse_listener("tls://*:5349"),)
    ops: AddressSetting = "127.0.0.1:9478"
    drain_deadline: float = Field(default=3600, ge=0)
    engine: EngineChoice = EngineChoice.AUTO
    #: that move packets; the Python engine has one
    threads: Literal["auto"] | Annotated[int, Field(ge=1, le=256)] = "auto"
    #: of the native engine
    io: Io = Io.AUTO
    relay: RelaySettings = RelaySettings()
    lifetime: LifetimeSettings = LifetimeSettings()
    channel_range: ChannelRange = ChannelRange.WIDE
    expiry: Expiry = Expiry.ALLOCATE
    peers: PeerSettings = PeerSettings()
    quotas: QuotaSettings = QuotaSettings()
    limits: LimitSettings = LimitSettings()
    #: TCP and TLS clients; a connection is half-open until it has an allocation
    streams: StreamSettings = StreamSettings()
    #: of listeners and relay sockets
    buffers: RelayBufferSettings = RelayBufferSettings()
