"""Where clients come in: a UDP listener on one address, one on all addresses, or the streams that others read."""

import abc
import socket
from collections.abc import Callable, Hashable
from struct import Struct
from typing import Any

from fairlead.datagram import Address, Datagram, Family, FiveTuple, Transport, Via, pack_host, unpack_host
from fairlead.reasons import Reason
from fairlead.stun.binding import is_binding_request
from fairlead.stun.header import LARGEST_REQUEST, Class, DecodeError, Method, message_type, read_header
from fairlead.udp import IP_PKTINFO, is_wildcard, report_local_address
from turnd.dataplane.contract import EngineSettings, StreamData
from turnd.dataplane.python.bindings import Bindings
from turnd.dataplane.python.clients import CHANNEL_HEADER, Client, Transmit
from turnd.dataplane.python.sockets import open_socket
from turnd.dataplane.python.switchboard import (
    STRANGERS_WEIGHT,
    NotTakenError,
    SocketAddress,
    Switchboard,
    address_of,
    socket_address,
)

#: Interface (0 lets the route decide), our address, the destination in the IP header.
_IPV4_INFO = Struct("=I4s4s")
#: Our address, interface.
_IPV6_INFO = Struct("=16sI")
_INFO_SPACE = socket.CMSG_SPACE(_IPV6_INFO.size)
#: How the requests of clients with a relay socket begin.
_REQUESTS = tuple(
    message_type(method, Class.REQUEST).to_bytes(2)
    for method in (Method.ALLOCATE, Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND)
)


class Entrance(abc.ABC):
    """Clients by what tells them apart here, and the ways back to them."""

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard
        self._clients: dict[Hashable, Client] = {}
        self._nobody = Client(switchboard)

    def admit(self, five_tuple: FiveTuple) -> Client:
        """The client of this 5-tuple, a new one if need be."""
        return self._clients.setdefault(self._key(five_tuple), Client(self._switchboard))

    def forget(self, five_tuple: FiveTuple) -> None:
        """Lets a client go when its last relay socket is gone."""
        client = self._clients.get(self._key(five_tuple))
        if client is not None and not client.relays:
            del self._clients[self._key(five_tuple)]

    @abc.abstractmethod
    def way_to(self, five_tuple: FiveTuple, via: Via) -> tuple[Transmit, SocketAddress]: ...

    @abc.abstractmethod
    def _key(self, five_tuple: FiveTuple) -> Hashable: ...


class Streams(Entrance):
    """Clients behind TCP and TLS, whose bytes are somebody else's to read and write."""

    def _key(self, five_tuple: FiveTuple) -> Hashable:
        return five_tuple

    def forward(self, datagram: Datagram) -> bool:
        """Whether the message was forwarded or dropped; else it is for the core."""
        data = datagram.data
        client = self._clients.get(datagram.five_tuple, self._nobody)
        return len(data) >= CHANNEL_HEADER.size and client.forward(data, memoryview(data), len(data))

    def way_to(self, five_tuple: FiveTuple, via: Via) -> tuple[Transmit, SocketAddress]:
        hand_up = self._switchboard.hand_up

        def transmit(data: bytes | memoryview, destination: SocketAddress) -> None:
            hand_up(StreamData(via, bytes(data) + bytes(-len(data) & 3)))

        return transmit, ()


class Nowhere(Entrance):
    """In place of a listener that has been closed."""

    def _key(self, five_tuple: FiveTuple) -> Hashable:
        return five_tuple

    def way_to(self, five_tuple: FiveTuple, via: Via) -> tuple[Transmit, SocketAddress]:
        def refuse(data: bytes | memoryview, destination: SocketAddress) -> None:
            raise NotTakenError(Reason.UNREACHABLE)

        return refuse, socket_address(five_tuple.client)


class Listener(Entrance):
    """A UDP listener. `origin` is what its socket says of a datagram, and what its clients are found by."""

    #: Receives into a buffer; returns size and origin.
    _receive: Callable[[memoryview], tuple[int, Any]]

    def __init__(self, listener: int, bound: socket.socket, switchboard: Switchboard, bindings: Bindings) -> None:
        super().__init__(switchboard)
        self.socket = bound
        self._bindings = bindings
        self.address = address_of(bound.getsockname())
        self._via = Via(listener)

    def read(self, share: int) -> int:
        """Serves at most `share` datagrams of clients; returns how many it asked for."""
        switchboard, receive = self._switchboard, self._receive
        buffer, view = switchboard.buffer, switchboard.view
        clients, nobody = self._clients, self._nobody
        asked = 0
        while asked < share:
            asked += 1
            try:
                size, origin = receive(view)
            except BlockingIOError:
                break
            except OSError:  # an ICMP error that an earlier packet drew
                continue
            client = clients.get(origin, nobody)
            if not client.forward(buffer, view, size):
                self._hand_up(bytes(view[:size]), self._five_tuple(origin), None if client is nobody else client)
        return asked

    def _hand_up(self, data: bytes, five_tuple: FiveTuple, known: Client | None) -> None:
        if known is None and len(data) > LARGEST_REQUEST:
            self._switchboard.drop(_why_too_much(data, five_tuple))
        elif not five_tuple.client.port:
            self._switchboard.drop(Reason.PORT_ZERO)
        elif is_binding_request(data) and self._bindings.take(data, five_tuple, self.way_to):
            pass
        elif known is None:
            self._switchboard.hand_up(Datagram(data, five_tuple, self._via), STRANGERS_WEIGHT)
        elif known.share.take(data.startswith(_REQUESTS), len(data), self._switchboard.now):
            self._switchboard.hand_up(Datagram(data, five_tuple, self._via))
        else:
            self._switchboard.drop(Reason.RATE_LIMITED)

    @abc.abstractmethod
    def _five_tuple(self, origin: Any) -> FiveTuple: ...


class ExactListener(Listener):
    """Bound to one address: the source of a datagram says all."""

    def __init__(self, listener: int, bound: socket.socket, switchboard: Switchboard, bindings: Bindings) -> None:
        super().__init__(listener, bound, switchboard, bindings)
        self._receive = bound.recvfrom_into

    def _key(self, five_tuple: FiveTuple) -> Hashable:
        return socket_address(five_tuple.client)

    def _five_tuple(self, origin: SocketAddress) -> FiveTuple:
        return FiveTuple(Transport.UDP, address_of(origin), self.address)

    def way_to(self, five_tuple: FiveTuple, via: Via) -> tuple[Transmit, SocketAddress]:
        return self.socket.sendto, socket_address(five_tuple.client)


class WildcardListener(Listener):
    """Bound to all addresses: the kernel says which of them was written to, and is told which to answer from."""

    def __init__(self, listener: int, bound: socket.socket, switchboard: Switchboard, bindings: Bindings) -> None:
        super().__init__(listener, bound, switchboard, bindings)
        report_local_address(bound)
        self._receive = self._receive_ipv4 if self.address.family is Family.IPV4 else self._receive_ipv6

    def _receive_ipv4(self, view: memoryview) -> tuple[int, tuple[SocketAddress, bytes]]:
        size, ancillary, _, source = self.socket.recvmsg_into((view,), _INFO_SPACE)
        return size, (source, ancillary[0][2][4:8])

    def _receive_ipv6(self, view: memoryview) -> tuple[int, tuple[SocketAddress, bytes]]:
        size, ancillary, _, source = self.socket.recvmsg_into((view,), _INFO_SPACE)
        return size, (source, ancillary[0][2][:16])

    def _key(self, five_tuple: FiveTuple) -> Hashable:
        return socket_address(five_tuple.client), five_tuple.server.packed_host

    def _five_tuple(self, origin: tuple[SocketAddress, bytes]) -> FiveTuple:
        source, local = origin
        return FiveTuple(Transport.UDP, address_of(source), Address(unpack_host(local), self.address.port))

    def way_to(self, five_tuple: FiveTuple, via: Via) -> tuple[Transmit, SocketAddress]:
        sendmsg, ancillary = self.socket.sendmsg, [_departure(five_tuple.server.host)]

        def transmit(data: bytes | memoryview, destination: SocketAddress) -> None:
            sendmsg((data,), ancillary, 0, destination)

        return transmit, socket_address(five_tuple.client)


def _why_too_much(data: bytes, five_tuple: FiveTuple) -> Reason:
    """What is wrong with a long message besides its length comes first, as for everything that is dropped."""
    try:
        read_header(data)
    except DecodeError as error:
        return error.reason
    return Reason.TOO_LARGE if five_tuple.client.port else Reason.PORT_ZERO


def _departure(host: str) -> tuple[int, int, bytes]:
    """What tells the kernel which of our addresses a datagram leaves from."""
    packed = pack_host(host)
    if len(packed) == 4:
        return socket.IPPROTO_IP, IP_PKTINFO, _IPV4_INFO.pack(0, packed, packed)
    return socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _IPV6_INFO.pack(packed, 0)


def open_listener(
    listener: int, address: Address, settings: EngineSettings, switchboard: Switchboard, bindings: Bindings
) -> Listener:
    """Raises OSError when the address cannot be bound."""
    bound = open_socket(address, settings.listener_buffer, settings.send_buffer)
    kind = WildcardListener if is_wildcard(address.host) else ExactListener
    return kind(listener, bound, switchboard, bindings)
