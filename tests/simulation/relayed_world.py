"""A World whose sockets are real: the core, an engine, and clients and peers on the loopback interface."""

import contextlib
import errno
import socket
import time
from collections.abc import Iterable
from typing import Any

from fairlead.datagram import Address, Datagram, Family, FiveTuple, Transport, Via
from tests.conformance.kit import settle
from tests.simulation.model import Attempt, Bound
from tests.turnd.kit import World
from turnd.dataplane.contract import DataPlane, HandUp, StreamData
from turnd.protocol import effects as do
from turnd.protocol.effects import Effect
from turnd.protocol.settings import RelayHost
from turnd.routes import RelayId, Route

LISTENER = 1
_AN_HOUR = 3600


def loopback_hosts() -> dict[Family, RelayHost]:
    """A relay address of each family that the machine has."""
    hosts = {}
    for family, host in ((Family.IPV4, "127.0.0.1"), (Family.IPV6, "::1")):
        with contextlib.suppress(OSError):
            bound_socket(Address(host, 0)).close()
            hosts[family] = RelayHost(host, host)
    return hosts


def bound_socket(address: Address) -> socket.socket:
    """A UDP socket that never waits; raises OSError."""
    opened = socket.socket(socket.AF_INET if address.family is Family.IPV4 else socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        opened.bind(address)
    except OSError:
        opened.close()
        raise
    return opened


def received(opened: socket.socket) -> list[tuple[bytes, Address]]:
    """All that a socket has got, with where it came from. On loopback what was sent has arrived."""
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            data, source = opened.recvfrom(65536)
            found.append((data, Address(*source[:2])))
    return found


class RelayedWorld(World):
    """What clients say goes through the engine, and the core hears of it what the engine hands up."""

    def __init__(self, engine: DataPlane, **settings: Any) -> None:
        self.engine = engine
        self.server = self.engine.open_listener(LISTENER, Address("127.0.0.1", 0))
        self.clients: dict[Address, socket.socket] = {}
        #: Relay sockets that the core wanted, and what became of them.
        self.attempts: list[Attempt] = []
        #: What the engine wants written to streams.
        self.written: list[StreamData] = []
        super().__init__(**settings)

    def close(self) -> None:
        self.engine.close()
        for opened in self.clients.values():
            opened.close()

    def new_client_address(self) -> Address:
        opened = bound_socket(Address("127.0.0.1", 0))
        address = Address(*opened.getsockname())
        self.clients[address] = opened
        return address

    def take(self, datagram: Datagram) -> list[Effect]:
        if datagram.five_tuple.transport.is_stream:
            return self._hear(self.engine.deliver(datagram)) + self.turn()
        self.clients[datagram.five_tuple.client].sendto(datagram.data, self.server)
        return self.turn()

    def turn(self) -> list[Effect]:
        settle(self.engine)
        return self._hear(self.engine.turn())

    def _hear(self, handed_up: Iterable[HandUp]) -> list[Effect]:
        done: list[Effect] = []
        for item in handed_up:
            if isinstance(item, StreamData):
                self.written.append(item)
            else:
                done += super().take(item)
        return done

    def open_socket(self, relay: RelayId, address: Address) -> None:
        try:
            if self.gives_sockets:
                self.engine.open_relay(relay, address)
            super().open_socket(relay, address)
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            self.attempts.append(Attempt(address, Bound.IN_USE if in_use else Bound.NO_SOCKETS))
            raise
        self.attempts.append(Attempt(address, Bound.BOUND))

    def close_socket(self, relay: RelayId) -> None:
        self.engine.close_relay(relay)
        super().close_socket(relay)

    def attach(self, relay: RelayId, five_tuple: FiveTuple, via: Via) -> None:
        self.engine.set_client(relay, five_tuple, via)
        super().attach(relay, five_tuple, via)

    def set_deadline(self, relay: RelayId, until: float) -> None:
        self.engine.set_deadline(relay, self._real(until))
        super().set_deadline(relay, until)

    def set_route(self, route: Route, until: float) -> None:
        self.engine.set_route(route, self._real(until))
        super().set_route(route, until)

    def _real(self, until: float) -> float:
        """The moment in an engine's time, in which nothing ends by itself that lives in the world's: that one waits
        while we think, and jumps."""
        return time.monotonic() + _AN_HOUR * (until - self.now.monotonic)

    def clear_route(self, route: Route) -> None:
        self.engine.clear_route(route)
        super().clear_route(route)

    def send(self, effect: do.Send) -> None:
        super().send(effect)
        if effect.five_tuple.transport is Transport.UDP:
            self.engine.send([effect])
            assert received(self.clients[effect.five_tuple.client]) == [(effect.data, self.server)]

    def send_from_relay(self, effect: do.SendFromRelay) -> None:
        self.engine.send_from_relay(*effect)

    def check(self) -> None:
        super().check()
        assert self.engine.routes() == self.relay.active_routes(self.now)
