"""UDP sockets that know which local address a datagram was sent to, so that the answer leaves from there.

A socket bound to one address knows it; a wildcard socket is told by the kernel with each datagram (IP_PKTINFO, RFC 3542
section 6.1 for IPv6), and tells the kernel with each reply.
"""

import errno
import socket
import struct
from typing import NamedTuple

from fairlead.datagram import Address, unpack_host
from fairlead.reasons import Reason
from fairlead.stun.header import DecodeError

#: A datagram over IPv4 holds at most this much (65535 without the IP and UDP headers).
LARGEST_DATAGRAM = 65507

#: linux/in.h; the socket module has no name for it before Python 3.14.
IP_PKTINFO = 8

_PKTINFO_V4 = struct.Struct("=i4s4s")  # interface, local address, destination in the header
_PKTINFO_V6 = struct.Struct("=16si")  # destination, interface
_ANCILLARY_SPACE = socket.CMSG_SPACE(_PKTINFO_V4.size) + socket.CMSG_SPACE(_PKTINFO_V6.size)

#: A machine has few addresses; one with a routed prefix may have any number, so that what is remembered has a bound.
_REMEMBERED = 256

_SEND_FAILURES = {
    errno.EAGAIN: Reason.SEND_BUFFER,
    errno.ENOBUFS: Reason.SEND_BUFFER,
    errno.ENOMEM: Reason.SEND_BUFFER,
    errno.EMSGSIZE: Reason.TOO_LARGE,
}


#: linux/socket.h and linux/sock_diag.h: what the kernel holds and has dropped for a socket.
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("=9I")


class Received(NamedTuple):
    """One datagram: its bytes, who sent it, and which of our addresses it was sent to."""

    data: bytes
    source: Address
    local: Address


class SocketMemory(NamedTuple):
    """Bytes that wait to be received (the kernel's bookkeeping included), and datagrams for which there was no room."""

    queued: int
    dropped: int


def why_refused(error: OSError) -> Reason:
    """Why the kernel did not take a datagram."""
    return _SEND_FAILURES.get(error.errno or 0, Reason.UNREACHABLE)


def is_wildcard(host: str) -> bool:
    return host in ("0.0.0.0", "::")  # noqa: S104  # compared, not bound


def set_buffers(sock: socket.socket, receive: int, send: int) -> None:
    """SO_RCVBUF and SO_SNDBUF in bytes, as far as the kernel's limits go; 0 leaves one as it is."""
    if receive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    if send:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send)


def report_local_address(sock: socket.socket) -> None:
    """Has the kernel say with each datagram which address it was sent to; for wildcard sockets, once bound or not."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)


class UdpSocket:
    """A bound, non-blocking UDP socket. Neither direction ever waits, and nothing is queued here."""

    def __init__(self, sock: socket.socket, largest: int = LARGEST_DATAGRAM) -> None:
        """Takes the socket over; datagrams longer than `largest` bytes are refused by receive()."""
        sock.setblocking(False)
        self.address = address_of(sock.getsockname())
        self._socket = sock
        self._largest = largest
        self._wildcard = is_wildcard(self.address.host)
        self._ancillary_space = 0
        self._locals: dict[bytes, Address] = {}
        if self._wildcard:
            report_local_address(sock)
            self._ancillary_space = _ANCILLARY_SPACE

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def resize(self, receive: int, send: int) -> None:
        """Sets SO_RCVBUF and SO_SNDBUF in bytes; 0 leaves one as it is."""
        set_buffers(self._socket, receive, send)

    def memory(self) -> SocketMemory:
        """What the kernel holds for this socket, and how much it had to drop."""
        numbers = _MEMINFO.unpack(self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
        return SocketMemory(numbers[0], numbers[8])

    def receive(self) -> Received | None:
        """The next datagram, None when there is none.

        Raises DecodeError(TOO_LARGE) for one that is longer than this socket takes; there may be more behind it.
        """
        try:
            data, ancillary, flags, source = self._socket.recvmsg(self._largest, self._ancillary_space)
        except BlockingIOError:
            return None
        except OSError as error:
            # An ICMP error that the kernel kept for this socket; it says nothing about the next datagram.
            raise DecodeError(Reason.UNREACHABLE) from error
        if flags & socket.MSG_TRUNC:
            raise DecodeError(Reason.TOO_LARGE)
        local = self._local(ancillary) if self._wildcard else self.address
        return Received(data, address_of(source), local)

    def send(self, data: bytes, destination: Address, local: Address) -> Reason | None:
        """Sends from the address that `local` names; returns why the kernel did not take it, None when it did."""
        try:
            if self._wildcard and not is_wildcard(local.host):
                self._socket.sendmsg((data,), (_from(local),), 0, socket_name(destination))
            else:
                self._socket.sendto(data, socket_name(destination))
        except OSError as error:
            return why_refused(error)
        return None

    def _local(self, ancillary: list[tuple[int, int, bytes]]) -> Address:
        for level, kind, value in ancillary:
            known = self._locals.get(value)
            if known is not None:
                return known
            host = _local_host(level, kind, value)
            if host is not None:
                if len(self._locals) >= _REMEMBERED:
                    self._locals.clear()
                self._locals[value] = local = Address(host, self.address.port)
                return local
        return self.address


def _local_host(level: int, kind: int, value: bytes) -> str | None:
    if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
        return unpack_host(_PKTINFO_V4.unpack(value)[1])
    if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
        packed, interface = _PKTINFO_V6.unpack(value)
        host = unpack_host(packed)
        return f"{host}%{interface}" if host.startswith("fe80:") else host
    return None


def _from(local: Address) -> tuple[int, int, bytes]:
    if ":" in local.host:
        _, _, zone = local.host.partition("%")
        return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _PKTINFO_V6.pack(local.packed_host, int(zone or 0))
    return socket.IPPROTO_IP, IP_PKTINFO, _PKTINFO_V4.pack(0, local.packed_host, bytes(4))


def address_of(name: tuple[str, int] | tuple[str, int, int, int]) -> Address:
    """The inverse of socket_name. A link-local address keeps its interface as a zone, or no answer could reach it."""
    if len(name) == 4 and name[3]:
        return Address(f"{name[0]}%{name[3]}", name[1])
    return Address(name[0], name[1])


def socket_name(address: Address) -> tuple[str, int] | tuple[str, int, int, int]:
    """An address as the socket calls take it; raises OSError for the zone of an interface that is not there."""
    host, _, zone = address.host.partition("%")
    if not zone:
        return host, address.port
    return host, address.port, 0, int(zone) if zone.isdigit() else socket.if_nametoindex(zone)
