"""Where a daemon listens: `udp://HOST:PORT` entries, and the sockets that are bound for them."""

import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field, PlainSerializer, PlainValidator

from fairlead.config import Key, SettingError, Settings
from fairlead.datagram import Address, Family, Transport, parse_address
from fairlead.port_holders import port_holder
from fairlead.udp import set_buffers, socket_name

T = TypeVar("T")

#: Every address of the machine, in both families.
EVERYWHERE = "*"

_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Listener:
    """One entry: the transport, an IP address or EVERYWHERE, and the port (0 lets the system choose)."""

    transport: Transport
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}://{host}:{self.port}"

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The addresses to bind: one, or the wildcard of each family."""
        hosts = ("0.0.0.0", "::") if self.host == EVERYWHERE else (self.host,)  # noqa: S104  # that is what * says
        return tuple(Address(host, self.port) for host in hosts)


def parse_listener(text: str) -> Listener:
    """Reads `udp://*:3478`, `tcp://192.0.2.1:3478`, `tls://[2001:db8::1]:5349`; raises ValueError with a sentence."""
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in tuple(Transport):
        known = ", ".join(f"{transport}://" for transport in Transport)
        raise ValueError(f"{text!r} is no listener; write TRANSPORT://HOST:PORT with one of {known}")
    if rest.startswith(f"{EVERYWHERE}:"):
        port = parse_address("[::]" + rest.removeprefix(EVERYWHERE)).port
        return Listener(Transport(scheme), EVERYWHERE, port)
    address = parse_address(rest)
    return Listener(Transport(scheme), address.host, address.port)


def _listener(given: object) -> Listener:
    return given if isinstance(given, Listener) else parse_listener(str(given))


#: A listener in a settings model, written as text.
ListenerSetting = Annotated[Listener, PlainValidator(_listener), PlainSerializer(str)]


def one_of(*transports: Transport) -> AfterValidator:
    """For a ListenerSetting: the transports that may stand there."""

    def check(listener: Listener) -> Listener:
        if listener.transport not in transports:
            raise ValueError(f"{listener} has no place here; write {' or '.join(f'{one}://' for one in transports)}")
        return listener

    return AfterValidator(check)


#: The kernel doubles what is asked for, and counts in 32 bits.
LARGEST_BUFFER = 1 << 30


class BufferSettings(Settings):
    """SO_RCVBUF and SO_SNDBUF of UDP sockets in bytes; 0 leaves the system's default."""

    receive: int = Field(default=0, ge=0, le=LARGEST_BUFFER)
    send: int = Field(default=0, ge=0, le=LARGEST_BUFFER)


SYSTEM_BUFFERS = BufferSettings()


def bind(
    listener: Listener, key: Key, buffers: BufferSettings = SYSTEM_BUFFERS, *, together: bool = False
) -> list[socket.socket]:
    """Binds every socket of an entry, non-blocking; streams are listening, `together` with other processes of this
    user where they say so as well. See open_each for the errors."""

    def bind_one(address: Address) -> socket.socket:
        return _bind(listener.transport, address, buffers, together)

    return open_each(listener, key, bind_one, socket.socket.close)


def open_each(
    listener: Listener, key: Key, open_one: Callable[[Address], T], close_one: Callable[[T], None]
) -> list[T]:
    """Opens every address of an entry by `open_one`, which raises OSError. `key` says where the entry is configured.

    `*` leaves IPv6 out where the kernel has none. Raises SettingError with what is in the way and the remedy; nothing
    stays open then.
    """
    opened: list[T] = []
    for address in listener.addresses:
        try:
            opened.append(open_one(address))
        except OSError as error:
            if listener.host == EVERYWHERE and _no_ipv6(address, error):
                continue
            for done in opened:
                close_one(done)
            raise SettingError(key, *_explain(listener, address, error)) from error
    return opened


def _bind(transport: Transport, address: Address, buffers: BufferSettings, together: bool) -> socket.socket:
    family = socket.AF_INET6 if address.family is Family.IPV6 else socket.AF_INET
    kind = socket.SOCK_STREAM if transport.is_stream else socket.SOCK_DGRAM
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if together:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        set_buffers(sock, buffers.receive, buffers.send)
        if transport.is_stream:
            # Connections of the last process in TIME-WAIT must not keep this one from starting.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(socket_name(address))
        if transport.is_stream:
            sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _no_ipv6(address: Address, error: OSError) -> bool:
    return address.family is Family.IPV6 and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def _explain(listener: Listener, address: Address, error: OSError) -> tuple[str, str]:
    """What is wrong with an address that cannot be bound, and the remedy."""
    if error.errno == errno.EADDRINUSE:
        holder = port_holder(listener.transport.is_stream, address)
        remedy = "stop it, or write another port"
        if holder is not None and holder.is_us:
            remedy = "write another port; a restart can change the host of this one"
        by = holder or "another process (root can see which)"
        return f"{listener.transport}://{address} is taken by {by}", remedy
    if error.errno == errno.EACCES:
        remedy = "write a port above 1023, or give the process CAP_NET_BIND_SERVICE"
        return f"port {address.port} needs a privilege", remedy
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine has no address {address.host}", "write one of its own, or * for all of them"
    if error.errno == errno.EINVAL and address.host.startswith("fe80:") and "%" not in address.host:
        return f"{address.host} is an address of each interface", f"write which one, as in [{address.host}%eth0]"
    return f"{listener.transport}://{address} cannot be bound ({error.strerror or error})", "write another address"
