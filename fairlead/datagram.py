"""The nouns of I/O: transports, addresses, 5-tuples and the datagram itself."""

import enum
import ipaddress
import socket
from functools import lru_cache
from typing import NamedTuple


class Transport(enum.StrEnum):
    """What carries a client's messages (RFC 8656 section 3.1, RFC 7350 for DTLS)."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"
    DTLS = "dtls"

    @property
    def is_stream(self) -> bool:
        return self in _STREAMS


_STREAMS = frozenset({Transport.TCP, Transport.TLS})


class Family(enum.IntEnum):
    """Address families by their STUN code (RFC 8489 section 14.1)."""

    IPV4 = 0x01
    IPV6 = 0x02


# Each address is asked for its family many times, and a name is found faster than a member of an enum.
_IPV4, _IPV6 = Family


class Address(NamedTuple):
    """An IP transport address. `host` is the text that inet_ntop writes, so that equal addresses compare
    equal to each other and to the pair that an IPv4 socket returns."""

    host: str
    port: int

    @property
    def family(self) -> Family:
        return _IPV6 if ":" in self.host else _IPV4

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def packed_host(self) -> bytes:
        """4 or 16 bytes in network order; an IPv6 zone is left out."""
        return pack_host(self.host)


@lru_cache(maxsize=1024)
def pack_host(host: str) -> bytes:
    """The 4 or 16 bytes of an IP address in text; raises OSError when it is none. One request asks for the same few
    hosts many times."""
    if ":" in host:
        return socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    return socket.inet_pton(socket.AF_INET, host)


def unpack_host(packed: bytes) -> str:
    """The text of 4 or 16 bytes in network order; raises ValueError for any other length."""
    if len(packed) == 4:
        return socket.inet_ntop(socket.AF_INET, packed)
    return socket.inet_ntop(socket.AF_INET6, packed)


def parse_address(text: str, default_port: int | None = None) -> Address:
    """Reads `192.0.2.1:3478`, `[2001:db8::1]:3478` or, with a default port, the bare host.

    Raises ValueError with a sentence that says what is wrong.
    """
    host, port = _split_port(text)
    if port is None:
        if default_port is None:
            raise ValueError(f"{text!r} has no port; write it as HOST:PORT")
        number = default_port
    elif not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{port!r} in {text!r} is no port (0 to 65535)")
    else:
        number = int(port)
    try:
        return Address(str(ipaddress.ip_address(host)), number)
    except ValueError:
        raise ValueError(f"{host!r} is no IP address; names are not looked up here") from None


def _split_port(text: str) -> tuple[str, str | None]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r} is no address; an IPv6 address with a port is [HOST]:PORT")
        return host, rest[1:] if rest else None
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, port
    return text, None


class FiveTuple(NamedTuple):
    """What identifies an allocation (RFC 8656 section 3): transport, client and server address."""

    transport: Transport
    client: Address
    server: Address


class Via(NamedTuple):
    """How a message came in, so that its answer leaves the same way; opaque to the pure code.

    `listener` names the socket that received it, `path` the thread or the stream behind it.
    """

    listener: int
    path: int = 0


class Datagram(NamedTuple):
    """One message of a client: a UDP datagram, or one framed message of a stream."""

    data: bytes
    five_tuple: FiveTuple
    via: Via
