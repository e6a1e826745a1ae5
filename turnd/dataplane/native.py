"""The native engine: threads in compiled code move the packets, and media never enters Python."""

import math
import os
from collections.abc import Collection, Sequence
from functools import lru_cache

from fairlead.buckets import UNLIMITED, Rate
from fairlead.datagram import Address, Datagram, FiveTuple, Transport, Via
from fairlead.native._engine import CHALLENGED, REASONS, Engine, probe_ring
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
    IoRefusedError,
    StreamData,
    Usage,
)
from turnd.routes import Bandwidth, Channel, Permission, Ports, RelayId, Route

#: The order in which the extension counts: what goes to peers, then what goes to clients.
_WAYS = (
    (Direction.TO_PEER, Framing.CHANNEL),
    (Direction.TO_PEER, Framing.INDICATION),
    (Direction.TO_CLIENT, Framing.CHANNEL),
    (Direction.TO_CLIENT, Framing.INDICATION),
)
_REASONS = tuple(map(Reason, REASONS))
_SEED_BYTES = 12
_TRANSPORTS = {transport.value: transport for transport in Transport}
_DEFAULTS = EngineSettings()


class NativeEngine:
    """A DataPlane that works while turn() is not called; turnd.dataplane.contract says what its verbs promise."""

    name = "native"

    def __init__(self, settings: EngineSettings = _DEFAULTS) -> None:
        """Raises IoRefusedError."""
        self._budget = settings.budget
        self.io = _io(settings.io)
        self._engine = Engine(
            list(settings.aliases.items()),
            ((settings.listener_buffer, settings.send_buffer), (settings.relay_buffer, settings.send_buffer)),
            by_ring=self.io is Io.IO_URING,
            threads=settings.threads,
            seed=os.urandom(_SEED_BYTES),
            stun_only=False,
            buckets=settings.buckets,
        )
        self.threads = settings.threads
        self.limit_bindings(UNLIMITED)

    def fileno(self) -> int:
        return self._engine.fileno()

    def turn(self) -> Sequence[HandUp]:
        return [_item(*item) for item in self._engine.take(self._budget)]

    def faults(self) -> Sequence[Fault]:
        return [Fault(*fault) for fault in self._engine.take_faults()]

    def open_listener(self, listener: int, address: Address) -> Address:
        return Address(*self._engine.open_listener(listener, (address.host, address.port)))

    def receive_buffer(self, listener: int) -> int:
        return self._engine.receive_buffer(listener)

    def close_listener(self, listener: int) -> None:
        self._engine.close_listener(listener)

    def open_relay(self, relay: RelayId, address: Address) -> None:
        self._engine.open_relay(relay, (address.host, address.port))

    def set_client(self, relay: RelayId, client: FiveTuple, via: Via) -> None:
        self._engine.set_client(relay, client, *via)

    def deny(self, peers: Collection[Address]) -> None:
        self._engine.deny([(peer.host, peer.port) for peer in peers])

    def limit_bindings(self, rate: Rate) -> None:
        self._engine.set_answering(True, False, *rate)

    def challenge(self, challenges: Challenges) -> None:
        self._engine.challenge(challenges.realm, challenges.nonce_key, *challenges.rate)

    def limit(self, relay: RelayId, user: str, bandwidth: Bandwidth) -> None:
        self._engine.limit(relay, user, bandwidth.allocation, bandwidth.user)

    def close_relay(self, relay: RelayId) -> Usage:
        return _usage(*self._engine.close_relay(relay))

    def set_deadline(self, relay: RelayId, until: float) -> None:
        self._engine.set_deadline(relay, until)

    def set_route(self, route: Route, until: float = math.inf) -> None:
        if isinstance(route, Permission):
            self._engine.permit(route.relay, route.host, route.ports is Ports.OWN_RELAYED, until)
        else:
            self._engine.bind(*route, until)

    def clear_route(self, route: Route) -> None:
        if isinstance(route, Permission):
            self._engine.revoke(route.relay, route.host, route.ports is Ports.OWN_RELAYED)
        else:
            self._engine.unbind(*route)

    def send(self, answers: Sequence[Answer]) -> None:
        self._engine.send(answers)

    def send_from_relay(self, relay: RelayId, peer: Address, data: bytes, dont_fragment: bool) -> None:
        self._engine.send_from_relay(relay, peer, data, dont_fragment)

    def deliver(self, datagram: Datagram) -> Sequence[HandUp]:
        forwarded = self._engine.deliver(datagram.five_tuple, *datagram.via, datagram.data)
        return () if forwarded else (datagram,)

    def usage(self, relay: RelayId) -> Usage:
        return _usage(*self._engine.usage(relay))

    def counters(self) -> Counters:
        (packets, octets), dropped, panics, bindings, (challenges, withheld), handed_over = self._engine.totals()
        return Counters(
            dict(zip(_WAYS, packets, strict=True)),
            dict(zip(_WAYS, octets, strict=True)),
            dict(zip(_REASONS, dropped, strict=True)),
            panics,
            sum(bindings),
            handed_over,
            dict(zip(CHALLENGED, challenges, strict=True)),
            *withheld,
        )

    def routes(self) -> frozenset[Route]:
        permissions, channels = self._engine.routes()
        return frozenset(
            [
                Permission(RelayId(relay), host, Ports.OWN_RELAYED if own else Ports.ANY)
                for relay, host, own in permissions
            ]
        ) | frozenset(Channel(RelayId(relay), number, Address(*peer)) for relay, number, peer in channels)

    def settle(self) -> None:
        """Returns when all that has arrived is dealt with, so that tests can look; under a steady load, never."""
        self._engine.settle()

    def close(self) -> None:
        self._engine.close()


def _item(listener: int, path: int, client: tuple[str, tuple[str, int], tuple[str, int]] | None, data: bytes) -> HandUp:
    if client is None:
        return StreamData(Via(listener, path), data)
    transport, source, server = client
    return Datagram(data, FiveTuple(_TRANSPORTS[transport], Address(*source), _server(server)), _via(listener, path))


# Of listeners, threads and our own addresses there are few.


@lru_cache(maxsize=64)
def _via(listener: int, path: int) -> Via:
    return Via(listener, path)


@lru_cache(maxsize=64)
def _server(address: tuple[str, int]) -> Address:
    return Address(*address)


def _usage(packets: list[int], octets: list[int]) -> Usage:
    return Usage(
        packets_to_peer=packets[0] + packets[1],
        bytes_to_peer=octets[0] + octets[1],
        packets_to_client=packets[2] + packets[3],
        bytes_to_client=octets[2] + octets[3],
    )


def _io(asked: Io) -> Io:
    """What is to be used; raises IoRefusedError."""
    if asked is not Io.IO_URING:
        return Io.EPOLL
    try:
        probe_ring()
    except OSError as error:
        raise IoRefusedError(f"io_uring is refused: {error.strerror}") from None
    return Io.IO_URING
