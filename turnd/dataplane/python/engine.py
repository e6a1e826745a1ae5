"""The verbs of the contract, and the turn."""

import math
import select
import socket
from collections.abc import Callable, Collection, Sequence

from fairlead.buckets import Rate
from fairlead.datagram import Address, Datagram, FiveTuple, Via
from fairlead.reasons import Reason
from turnd.dataplane.contract import (
    Answer,
    Challenges,
    Counters,
    Direction,
    EngineSettings,
    Fault,
    Framing,
    HandUp,
    Io,
    Usage,
)
from turnd.dataplane.python.bindings import Bindings
from turnd.dataplane.python.budgets import Budgets
from turnd.dataplane.python.entrances import Entrance, Listener, Nowhere, Streams, open_listener
from turnd.dataplane.python.relays import RelaySocket
from turnd.dataplane.python.switchboard import (
    TALLY_LENGTH,
    TO_CLIENT_CHANNEL,
    TO_CLIENT_INDICATION,
    TO_PEER_CHANNEL,
    TO_PEER_INDICATION,
    Switchboard,
    socket_address,
)
from turnd.routes import Bandwidth, Permission, RelayId, Route

#: Sockets that are looked at in one go.
_MOST_EVENTS = 64

_PLACES = {
    (Direction.TO_PEER, Framing.CHANNEL): TO_PEER_CHANNEL,
    (Direction.TO_PEER, Framing.INDICATION): TO_PEER_INDICATION,
    (Direction.TO_CLIENT, Framing.CHANNEL): TO_CLIENT_CHANNEL,
    (Direction.TO_CLIENT, Framing.INDICATION): TO_CLIENT_INDICATION,
}

_DEFAULTS = EngineSettings()


class PythonEngine:
    """A DataPlane on plain sockets; turnd.dataplane.contract says what its verbs promise."""

    name = "python"
    threads = 1
    io = Io.EPOLL

    def __init__(self, settings: EngineSettings = _DEFAULTS) -> None:
        self._settings = settings
        self._epoll = select.epoll()
        self._switchboard = Switchboard()
        self._bindings = Bindings(self._switchboard, settings.buckets)
        self._readers: dict[int, Callable[[int], int]] = {}
        self._listeners: dict[int, Listener] = {}
        self._streams = Streams(self._switchboard)
        self._nowhere = Nowhere(self._switchboard)
        self._relays: dict[RelayId, RelaySocket] = {}
        self._budgets = Budgets()
        self._owners: dict[RelayId, tuple[Entrance, FiveTuple]] = {}
        #: What closed relay sockets have passed.
        self._past = [0] * TALLY_LENGTH

    def fileno(self) -> int:
        return self._epoll.fileno()

    def turn(self) -> Sequence[HandUp]:
        switchboard, readers, poll = self._switchboard, self._readers, self._epoll.poll
        budget = self._settings.budget
        # On a quiet wire a wake-up is for one packet, and to ask its socket for a second is to be told no. Whoever is
        # ready again after the first has a burst.
        share = 1
        while budget > 0 and not switchboard.is_full:
            ready = poll(0, min(budget, _MOST_EVENTS))
            if not ready:
                break
            switchboard.look_at_clock()
            for descriptor, _ in ready:
                budget -= readers[descriptor](1 if switchboard.is_full else share)
            share = max(1, budget // len(ready))
        return switchboard.take_handed_up()

    def faults(self) -> Sequence[Fault]:
        """It has no threads: what goes wrong here goes wrong in turn(), before its caller's eyes."""
        return ()

    def deliver(self, datagram: Datagram) -> Sequence[HandUp]:
        self._switchboard.look_at_clock()
        return () if self._streams.forward(datagram) else (datagram,)

    def open_listener(self, listener: int, address: Address) -> Address:
        if listener in self._listeners:
            raise ValueError(f"listener {listener} is open already")
        opened = open_listener(listener, address, self._settings, self._switchboard, self._bindings)
        self._listeners[listener] = opened
        self._watch(opened.socket, opened.read)
        return opened.address

    def receive_buffer(self, listener: int) -> int:
        # The kernel tells twice what was asked for: its own books are in there too (socket(7)).
        return self._listeners[listener].socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2

    def close_listener(self, listener: int) -> None:
        closed = self._listeners.pop(listener, None)
        if closed is not None:
            self._close(closed.socket)

    def open_relay(self, relay: RelayId, address: Address) -> None:
        if relay in self._relays:
            raise ValueError(f"relay socket {relay} is open already")
        opened = self._relays[relay] = RelaySocket(relay, address, self._settings, self._switchboard)
        self._watch(opened.socket, opened.read)

    def deny(self, peers: Collection[Address]) -> None:
        self._switchboard.denied = frozenset(map(socket_address, peers))

    def limit_bindings(self, rate: Rate) -> None:
        self._bindings.rate = rate

    def challenge(self, challenges: Challenges) -> None:
        """The core does it no slower."""

    def limit(self, relay: RelayId, user: str, bandwidth: Bandwidth) -> None:
        limited = self._relays[relay]
        limited.limit(self._budgets.of(user, bandwidth, limited.budget) if bandwidth.is_limit else None)

    def close_relay(self, relay: RelayId) -> Usage:
        closed = self._relays.pop(relay, None)
        if closed is None:
            return Usage()
        self._detach(relay, closed)
        self._close(closed.socket)
        closed.die()
        self._past = [sum(pair) for pair in zip(self._past, closed.tally, strict=True)]
        return _usage(closed.tally)

    def set_client(self, relay: RelayId, client: FiveTuple, via: Via) -> None:
        owned = self._relays[relay]
        entrance = self._streams if client.transport.is_stream else self._listeners.get(via.listener, self._nowhere)
        if self._owners.get(relay) != (entrance, client):
            self._detach(relay, owned)
            self._owners[relay] = entrance, client
        owned.attach(entrance.admit(client), *entrance.way_to(client, via))

    def _detach(self, relay: RelayId, owned: RelaySocket) -> None:
        owned.detach()
        if relay in self._owners:
            entrance, client = self._owners.pop(relay)
            entrance.forget(client)

    def set_deadline(self, relay: RelayId, until: float) -> None:
        self._relays[relay].set_deadline(until)

    def set_route(self, route: Route, until: float = math.inf) -> None:
        relay = self._relays[route.relay]
        if isinstance(route, Permission):
            relay.permit(route.host, route.ports, until)
        else:
            relay.bind(route.number, route.peer, until)

    def clear_route(self, route: Route) -> None:
        relay = self._relays.get(route.relay)
        if relay is None:
            return
        if isinstance(route, Permission):
            relay.forbid(route.host, route.ports)
        else:
            relay.unbind(route.number, route.peer)

    def routes(self) -> frozenset[Route]:
        return frozenset(route for relay in self._relays.values() for route in relay.routes())

    def send(self, answers: Sequence[Answer]) -> None:
        for answer in answers:
            self._answer(*answer)

    def _answer(self, via: Via, client: FiveTuple, data: bytes) -> None:
        listener = self._listeners.get(via.listener)
        if listener is None:
            self._switchboard.drop(Reason.UNREACHABLE)
            return
        transmit, destination = listener.way_to(client, via)
        try:
            transmit(data, destination)
        except OSError as error:
            self._switchboard.drop_refused(error)

    def send_from_relay(self, relay: RelayId, peer: Address, data: bytes, dont_fragment: bool) -> None:
        sender = self._relays.get(relay)
        if sender is None:
            self._switchboard.drop(Reason.NO_ALLOCATION)
        else:
            self._switchboard.look_at_clock()
            sender.send(socket_address(peer), data, dont_fragment)

    def usage(self, relay: RelayId) -> Usage:
        return _usage(self._relays[relay].tally)

    def counters(self) -> Counters:
        tallies = [self._past, *(relay.tally for relay in self._relays.values())]
        totals = [sum(column) for column in zip(*tallies, strict=True)]
        return Counters(
            packets={key: totals[place] for key, place in _PLACES.items()},
            bytes={key: totals[place + 1] for key, place in _PLACES.items()},
            dropped=dict(self._switchboard.dropped),
            bindings=self._bindings.answered,
        )

    def close(self) -> None:
        for relay in list(self._relays):
            self.close_relay(relay)
        for listener in list(self._listeners):
            self.close_listener(listener)
        self._epoll.close()

    def _watch(self, opened: socket.socket, reader: Callable[[int], int]) -> None:
        self._readers[opened.fileno()] = reader
        self._epoll.register(opened, select.EPOLLIN)

    def _close(self, closed: socket.socket) -> None:
        """The kernel takes a closed socket off the epoll by itself."""
        del self._readers[closed.fileno()]
        closed.close()


def _usage(tally: Sequence[int]) -> Usage:
    return Usage(
        packets_to_peer=tally[TO_PEER_CHANNEL] + tally[TO_PEER_INDICATION],
        bytes_to_peer=tally[TO_PEER_CHANNEL + 1] + tally[TO_PEER_INDICATION + 1],
        packets_to_client=tally[TO_CLIENT_CHANNEL] + tally[TO_CLIENT_INDICATION],
        bytes_to_client=tally[TO_CLIENT_CHANNEL + 1] + tally[TO_CLIENT_INDICATION + 1],
    )
