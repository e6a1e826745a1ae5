"""Relay sockets, and what becomes of the packets that peers send to them (RFC 8656 sections 11.3 and 12.6)."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from fairlead.datagram import Address, Family, pack_host
from fairlead.reasons import Reason
from turnd.dataplane.contract import EngineSettings
from turnd.dataplane.python.budgets import Budget
from turnd.dataplane.python.clients import CHANNEL_HEADER, BoundChannel, Client, Transmit
from turnd.dataplane.python.indications import LONGEST_DATA, write_data
from turnd.dataplane.python.sockets import open_socket, send_unfragmented
from turnd.dataplane.python.switchboard import (
    HEADROOM,
    TALLY_LENGTH,
    TO_CLIENT_CHANNEL,
    TO_CLIENT_INDICATION,
    TO_PEER_INDICATION,
    SocketAddress,
    Switchboard,
    socket_address,
)
from turnd.routes import Channel, Permission, Ports, RelayId, Route

_CHANNEL_START = HEADROOM - CHANNEL_HEADER.size
#: With a larger share than this few sockets are ready, and one may well hold several packets. With a smaller one
#: most hold a single one, and to ask for a second costs more than to be told of it by epoll.
_SMALL_SHARE = 16
#: What an unbound peer has in place of a channel: it may never be used.
_NO_CHANNEL = (0, False, -math.inf)


class _Permitted(NamedTuple):
    """A permission, with what forwarding wants to know of its host."""

    ports: Ports
    own: bool
    #: The host as clients read it in Data indications.
    written: int
    until: float


class RelaySocket:
    """One relay socket with its client, its routes and its tally."""

    def __init__(self, relay: RelayId, address: Address, settings: EngineSettings, switchboard: Switchboard) -> None:
        """Raises OSError when the address cannot be bound."""
        self.relay = relay
        self.socket = open_socket(address, settings.relay_buffer, settings.send_buffer)
        self.tally = [0] * TALLY_LENGTH
        self._switchboard = switchboard
        self._aliases = settings.aliases
        self._address = socket_address(address)
        self._flow_and_scope = (0, 0) if address.family is Family.IPV6 else ()
        self._family = address.family
        #: When nothing passes any more.
        self.until = math.inf
        #: What may pass; None is no limit.
        self.budget: Budget | None = None
        self._sendto: Transmit = self.socket.sendto
        self._client: Client | None = None
        #: The way to the client, once there is one.
        self._transmit: Transmit
        self._destination: SocketAddress
        self._permissions: dict[str, _Permitted] = {}
        #: Peers of channels, and until when these are bound.
        self._channels: dict[int, tuple[Address, float]] = {}
        #: Hosts with a permission by the numbers that clients may write for them: the bound and the advertised one.
        self._hosts: dict[int, str] = {}
        #: Channels by peer: the number, whether the peer is a relayed address of ours, and until when it may be used.
        self._open_channels: dict[SocketAddress, tuple[int, bool, float]] = {}
        switchboard.living.add(self._address)

    def attach(self, client: Client, transmit: Transmit, destination: SocketAddress) -> None:
        """Gives the socket to a client; the other two are the way to it."""
        self._client, self._transmit, self._destination = client, transmit, destination
        client.relays[self._family] = self
        self._refresh_all()

    def set_deadline(self, until: float) -> None:
        self.until = until
        self._refresh_all()

    def limit(self, budget: Budget | None) -> None:
        """Bounds what passes from now on, in both directions."""
        self.budget = budget
        self._sendto = self.socket.sendto if budget is None else self._send_within(budget)
        self._refresh_all()

    def _send_within(self, budget: Budget) -> Transmit:
        spend, sendto = budget.spend, self.socket.sendto

        def transmit(data: bytes | memoryview, peer: SocketAddress) -> None:
            spend(len(data))
            sendto(data, peer)

        return transmit

    def detach(self) -> None:
        if self._client is None:
            return
        for number in self._channels:
            del self._client.channels[number]
        del self._client.relays[self._family]
        self._client = None

    def die(self) -> None:
        self._switchboard.living.discard(self._address)

    def routes(self) -> Iterator[Route]:
        for host, permitted in self._permissions.items():
            yield Permission(self.relay, host, permitted.ports)
        for number, (peer, _) in self._channels.items():
            yield Channel(self.relay, number, peer)

    def permit(self, host: str, ports: Ports, until: float) -> None:
        """Raises ValueError for a host of the other family."""
        self._require_family(Address(host, 0))
        names = [advertised for advertised, bound in self._aliases.items() if bound == host]
        numbers = [int.from_bytes(pack_host(name)) for name in (*names, host)]
        self._hosts.update(dict.fromkeys(numbers, host))
        self._permissions[host] = _Permitted(ports, ports is Ports.OWN_RELAYED, numbers[0], until)
        self._refresh_host(host)

    def forbid(self, host: str, ports: Ports) -> None:
        permitted = self._permissions.get(host)
        if permitted is not None and permitted.ports is ports:
            del self._permissions[host]
            self._hosts = {number: bound for number, bound in self._hosts.items() if bound != host}
            self._refresh_host(host)

    def bind(self, number: int, peer: Address, until: float) -> None:
        """Takes the number from another peer, and the peer from another number.

        Raises ValueError for a peer of the other family, or with port 0.
        """
        self._require_family(peer)
        if not peer.port:
            raise ValueError(f"channel {number:#x} of relay socket {self.relay} is for port 0")
        for other, (bound, _) in list(self._channels.items()):
            if (other == number) is not (bound == peer):
                self.unbind(other, bound)
        self._channels[number] = peer, until
        self._refresh(number)

    def unbind(self, number: int, peer: Address) -> None:
        if number in self._channels and self._channels[number][0] == peer:
            del self._channels[number]
            self._open_channels.pop(socket_address(peer), None)
            if self._client is not None:
                del self._client.channels[number]

    def _require_family(self, peer: Address) -> None:
        if peer.family is not self._family:
            raise ValueError(f"relay socket {self.relay} is {self._family.name} and {peer.host} is not")

    def _refresh_all(self) -> None:
        for number in self._channels:
            self._refresh(number)

    def _refresh_host(self, host: str) -> None:
        for number, (peer, _) in self._channels.items():
            if peer.host == host:
                self._refresh(number)

    def _refresh(self, number: int) -> None:
        """Opens a channel to both sides if there is a client and the permission, else closes it."""
        if self._client is None:
            return
        peer, until = self._channels[number]
        permitted, address, bound = self._permissions.get(peer.host), socket_address(peer), min(until, self.until)
        usable = -math.inf if permitted is None else min(bound, permitted.until)
        own = permitted is not None and permitted.own
        self._open_channels[address] = number, own, usable
        self._client.channels[number] = BoundChannel(self._sendto, address, own, self.tally, usable, bound)

    def send_indicated(self, host: int, port: int, data: memoryview) -> None:
        """Sends the data of a Send indication to the host and port that stand in it."""
        bound = self._hosts.get(host)
        if bound is None:
            self._switchboard.drop(Reason.NO_PERMISSION)
        else:
            self.send((bound, port, *self._flow_and_scope), data, dont_fragment=False)

    def send(self, peer: SocketAddress, data: bytes | memoryview, dont_fragment: bool) -> None:
        """Sends application data to a peer whose host has a permission."""
        refusal = self._refusal(peer)
        if refusal is not None:
            self._switchboard.drop(refusal)
            return
        try:
            if not dont_fragment:
                self._sendto(data, peer)
            else:
                if self.budget is not None:
                    self.budget.spend(len(data))
                send_unfragmented(self.socket, data, peer)
        except OSError as error:
            self._switchboard.drop_refused(error)
            return
        self.tally[TO_PEER_INDICATION] += 1
        self.tally[TO_PEER_INDICATION + 1] += len(data)

    def _refusal(self, peer: SocketAddress) -> Reason | None:
        """Why nothing may pass to and from a peer, None if it may."""
        if self._switchboard.now >= self.until:
            return Reason.NO_ALLOCATION
        permitted = self._permissions.get(peer[0])
        if permitted is None or self._switchboard.now >= permitted.until:
            return Reason.NO_PERMISSION
        if peer in self._switchboard.denied:
            return Reason.PEER_DENIED
        if not peer[1]:
            return Reason.PORT_ZERO
        if permitted.own and peer not in self._switchboard.living:
            return Reason.PEER_NOT_ALLOCATED
        return None

    def read(self, share: int) -> int:
        """Serves at most `share` packets of peers; returns how many it asked for."""
        switchboard, open_channels = self._switchboard, self._open_channels
        receive, body = self.socket.recvfrom_into, switchboard.body
        most = share if share > _SMALL_SHARE else 1
        asked = 0
        while asked < most:
            asked += 1
            try:
                size, peer = receive(body)
            except BlockingIOError:
                break
            except OSError:  # an ICMP error that an earlier packet drew
                continue
            number, own, usable = open_channels.get(peer, _NO_CHANNEL)
            if switchboard.now >= usable:
                self._indicate(size, peer)
                continue
            if own and peer not in switchboard.living:
                switchboard.drop(Reason.PEER_NOT_ALLOCATED)
                continue
            CHANNEL_HEADER.pack_into(switchboard.buffer, _CHANNEL_START, number, size)
            self._pass_on(_CHANNEL_START, HEADROOM + size, TO_CLIENT_CHANNEL, size)
        return asked

    def _indicate(self, size: int, peer: SocketAddress) -> None:
        """Takes the packet of a peer without a channel to the client, as a Data indication."""
        refusal = self._refusal(peer) if self._client is not None else Reason.NO_ALLOCATION
        if refusal is None and size > LONGEST_DATA[self._family]:
            refusal = Reason.TOO_LARGE
        if refusal is not None:
            self._switchboard.drop(refusal)
            return
        written, transaction = self._permissions[peer[0]].written, self._switchboard.next_transaction()
        start, end = write_data(self._switchboard.buffer, HEADROOM, size, self._family, written, peer[1], transaction)
        self._pass_on(start, end, TO_CLIENT_INDICATION, size)

    def _pass_on(self, start: int, end: int, place: int, size: int) -> None:
        """Sends what stands in the buffer to the client, and counts `size` bytes of application data."""
        switchboard = self._switchboard
        try:
            if self.budget is not None:
                self.budget.spend(size)
            self._transmit(switchboard.view[start:end], self._destination)
        except OSError as error:
            switchboard.drop_refused(error)
            return
        self.tally[place] += 1
        self.tally[place + 1] += size
