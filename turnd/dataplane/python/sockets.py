"""UDP sockets as the engine wants them: non-blocking, one family each."""

import socket

from fairlead.datagram import Address, Family
from turnd.dataplane.python.switchboard import SocketAddress, socket_address

# linux/in.h and in6.h; the socket module has no names for them.
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER = 10, 23
#: Leaves the DF bit unset: what does not fit is fragmented on its way.
_PMTUDISC_DONT = 0
#: Sets the DF bit and refuses what does not fit the path.
_PMTUDISC_DO = 2


def open_socket(address: Address, receive_buffer: int, send_buffer: int) -> socket.socket:
    """A bound, non-blocking UDP socket; buffers in bytes, 0 leaves the system's. Raises OSError."""
    family = socket.AF_INET if address.family is Family.IPV4 else socket.AF_INET6
    opened = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        if family is socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        else:
            # The system's default sets the DF bit on whatever is sent, for which nobody asked (RFC 8656 section 15).
            opened.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_DONT)
        if receive_buffer:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if send_buffer:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        opened.bind(socket_address(address))
    except OSError:
        opened.close()
        raise
    return opened


def send_unfragmented(sender: socket.socket, data: bytes | memoryview, destination: SocketAddress) -> None:
    """Sends with the DF bit; raises OSError, EMSGSIZE where the path is known to be too narrow."""
    if sender.family is socket.AF_INET:
        level, option = socket.IPPROTO_IP, _IP_MTU_DISCOVER
    else:
        level, option = socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER
    before = sender.getsockopt(level, option)
    sender.setsockopt(level, option, _PMTUDISC_DO)
    try:
        sender.sendto(data, destination)
    finally:
        sender.setsockopt(level, option, before)
