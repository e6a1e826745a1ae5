"""The `stund` section of the configuration."""

from typing import Annotated

from pydantic import AfterValidator, Field

from fairlead.config import AddressSetting, DaemonSettings, Settings
from fairlead.datagram import Transport
from fairlead.listeners import BufferSettings, ListenerSetting, one_of, parse_listener
from fairlead.native import EngineChoice
from fairlead.rates import MOST_BUCKETS, RateSettings
from fairlead.streams import StreamSettings
from fairlead.stun.binding import LONGEST_SOFTWARE, BindingSettings
from stund.responder import ResponderSettings


def _fits(text: str) -> str:
    if len(text.encode()) > LONGEST_SOFTWARE:
        raise ValueError(f"more than {LONGEST_SOFTWARE} bytes; every reply would carry them")
    return text


class StundStreamSettings(StreamSettings):
    """The bounds of TCP and TLS connections."""

    #: seconds that a connection stays open after its last request
    idle: float = Field(default=30.0, gt=0)


class LimitSettings(Settings):
    """UDP requests a second, per source (/32, /64)."""

    bindings: RateSettings = RateSettings(rate=1000, burst=5000)
    #: more sources than this share them
    buckets: int = Field(default=65536, ge=1, le=MOST_BUCKETS)


class StundSettings(DaemonSettings):
    """All of the section."""

    listen: tuple[Annotated[ListenerSetting, one_of(Transport.UDP, Transport.TCP)], ...] = (
        parse_listener("udp://*:3479"),
        parse_listener("tcp://*:3479"),
    )
    #: used when tls.certificate is set
    listen_tls: tuple[Annotated[ListenerSetting, one_of(Transport.TLS)], ...] = (parse_listener("tls://*:5350"),)
    ops: AddressSetting = "127.0.0.1:9479"
    engine: EngineChoice = EngineChoice.AUTO
    #: the SOFTWARE attribute of every reply; null leaves it out
    software: Annotated[str, AfterValidator(_fits)] | None = None
    #: send MAPPED-ADDRESS beside XOR-MAPPED-ADDRESS
    mapped_address: bool = False
    #: answer RFC 3489 clients, which send no cookie
    classic: bool = False
    limits: LimitSettings = LimitSettings()
    streams: StundStreamSettings = StundStreamSettings()
    buffers: BufferSettings = BufferSettings()

    @property
    def responder(self) -> ResponderSettings:
        return ResponderSettings(BindingSettings(self.software, self.mapped_address), self.classic)
