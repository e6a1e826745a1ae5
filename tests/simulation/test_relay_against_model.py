"""Any course of events, on the real core and each real engine with real sockets, against a plain model of RFC 8656.

After every step the engine holds what the core says is active, the core's books are those of the model, and each port
and each share of a quota is in one hand. Packets go where the model lets them go, and nowhere else.

FAIRLEAD_SIMULATION=1000 runs a thousand courses in place of a few; --hypothesis-profile=explore makes them new ones.
"""

import contextlib
import enum
import os
import socket
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fairlead.datagram import Address, Family
from fairlead.native import EngineChoice
from fairlead.stun.attributes import (
    CHANNEL_NUMBER,
    DATA,
    EVEN_PORT,
    LIFETIME,
    REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT,
    RESERVATION_TOKEN,
    UDP,
    XOR_PEER_ADDRESS,
)
from fairlead.stun.header import Class, Method
from tests.conformance.kit import engine_or_skip
from tests.simulation.model import AskedAllocate, AskedChannel, AskedPermission, AskedRefresh, Person
from tests.simulation.relayed_world import bound_socket
from tests.simulation.stage import PEOPLE, PORTS, TRANSPORTS, Stage
from tests.turnd.kit import Row
from turnd.dataplane.choice import make_engine
from turnd.dataplane.contract import EngineSettings, Io
from turnd.protocol.settings import Expiry


class Weather(enum.Enum):
    """What an Allocate may meet."""

    FINE = enum.auto()
    NO_SOCKETS = enum.auto()
    DRAINING = enum.auto()


clients = st.integers(0, len(TRANSPORTS) - 1)
#: Clients, or with higher numbers one of those that have allocations: where most happens.
living = st.integers(0, 4 * len(TRANSPORTS))
#: Who sends: most often the one whose client it is.
senders = st.sampled_from([None] * 6 + [*PEOPLE])
names = st.sampled_from(sorted({name for person in PEOPLE for name in (person.username, person.user_id)}))
lifetimes = st.sampled_from([None, None, 1, 700, 3600, 9999])
families = st.sampled_from([None] * 4 + [*Family])
evenness = st.sampled_from([None, False, True])
tokens = st.none() | st.none() | st.integers(0, 3)
#: As Stage.peer() numbers them: with sockets, closed, relayed, out of reach.
good_peers = st.sampled_from([0, 1, 2, 4, 5, 6, 7])
peers = good_peers | good_peers | st.sampled_from([3, 8])
real_peers = st.integers(0, 3)
numbers = st.sampled_from([0x4000, 0x4001, 0x7FFF])
moments = st.sampled_from([0.25, 1.25, 1.5, 5.0, 30.0, 60.0, 120.0, 299.75, 300.0, 600.0])
payloads = st.binary(max_size=5)


class RelayAgainstModel(RuleBasedStateMachine):
    engine, io = EngineChoice.PYTHON, Io.EPOLL

    @initialize(expiry=st.sampled_from(Expiry), allocated=st.sets(clients, min_size=2))
    def begin(self, expiry: Expiry, allocated: set[int]) -> None:
        self.stage = Stage(expiry, make_engine(self.engine, EngineSettings(io=self.io)))
        self.strangers: list[socket.socket] = []
        for client in sorted(allocated):
            self.allocate(client, None, None, None, None, None, Weather.FINE)

    def teardown(self) -> None:
        if hasattr(self, "stage"):
            self.stage.close()
            self.strangers_go()

    # Requests

    @rule(
        client=clients, sender=senders, lifetime=lifetimes, family=families, even=evenness, token=tokens,
        weather=st.sampled_from([Weather.FINE, *Weather]),
    )  # fmt: skip
    def allocate(
        self, client: int, sender: Person | None, lifetime: int | None, family: Family | None, even: bool | None,
        token: int | None, weather: Weather,
    ) -> None:  # fmt: skip
        stage = self.stage
        shown = None if token is None else stage.tokens[-1 - token % len(stage.tokens)]
        rows: list[tuple[Any, Any]] = [
            (REQUESTED_TRANSPORT, UDP),
            (LIFETIME, lifetime),
            (REQUESTED_ADDRESS_FAMILY, family),
            (EVEN_PORT, even),
            (RESERVATION_TOKEN, shown),
        ]
        asked = {"lifetime": lifetime, "family": family, "even": even, "token": shown}
        stage.model.draining = stage.world.state.draining = weather is Weather.DRAINING
        stage.world.gives_sockets = weather is not Weather.NO_SOCKETS
        stage.ask(client, sender, Method.ALLOCATE, rows, AskedAllocate, **asked)

    @rule(client=living, sender=senders, lifetime=lifetimes, family=families)
    def refresh(self, client: int, sender: Person | None, lifetime: int | None, family: Family | None) -> None:
        rows: list[tuple[Any, Any]] = [(LIFETIME, lifetime), (REQUESTED_ADDRESS_FAMILY, family)]
        self.stage.ask(client, sender, Method.REFRESH, rows, AskedRefresh, lifetime=lifetime, family=family)

    @rule(client=clients, sender=senders)
    def delete(self, client: int, sender: Person | None) -> None:
        self.refresh(client, sender, 0, None)

    @rule(client=living, sender=senders, named=st.lists(peers, max_size=3))
    def permit(self, client: int, sender: Person | None, named: list[int]) -> None:
        hosts = tuple(self.stage.peer(number) for number in named)
        rows = [(XOR_PEER_ADDRESS, peer) for peer in hosts]
        self.stage.ask(client, sender, Method.CREATE_PERMISSION, rows, AskedPermission, peers=hosts)

    @rule(client=living, sender=senders, number=numbers | st.just(0x3FFF), peer=peers)
    def bind(self, client: int, sender: Person | None, number: int, peer: int) -> None:
        address = self.stage.peer(peer)
        rows: list[Row] = [(CHANNEL_NUMBER, number), (XOR_PEER_ADDRESS, address)]
        self.stage.ask(client, sender, Method.CHANNEL_BIND, rows, AskedChannel, number=number, peer=address)

    @rule(client=clients)
    def retransmit(self, client: int) -> None:
        """Perhaps much later, when everything has changed."""
        self.stage.ask_again(client)

    # Time and fate

    @rule(seconds=moments, awake=st.booleans())
    def wait(self, seconds: float, awake: bool) -> None:
        world = self.stage.world
        if awake:
            world.advance(seconds)
        else:
            world.clock.elapsed += seconds
            world.carry_out(world.relay.expire(world.now))
        self.stage.model.advance(world.clock.elapsed, awake)

    @rule(client=clients)
    def disconnect(self, client: int) -> None:
        closing = self.stage.client(client)
        if closing.five_tuple.transport.is_stream:
            closing.disconnect()
            if self.stage.allocation(closing):
                self.stage.model.end(closing.five_tuple)

    @rule(name=names, seconds=st.none() | moments)
    def administrate(self, name: str, seconds: float | None) -> None:
        """Somebody's allocations are ended, or refused for a time as well."""
        if seconds is None:
            self.stage.end(name)
        else:
            self.stage.revoke(name, self.stage.model.now + seconds)

    @rule(first=st.integers(*PORTS), count=st.integers(1, 8))
    def strangers_come(self, first: int, count: int) -> None:
        """Other programs take ports of the range that nobody has."""
        for port in range(first, min(first + count, PORTS[1] + 1)):
            with contextlib.suppress(OSError):
                self.strangers.append(bound_socket(Address("127.0.0.1", port)))

    @rule()
    def strangers_go(self) -> None:
        while self.strangers:
            self.strangers.pop().close()

    # Packets

    @rule(client=living, peer=peers, data=payloads)
    def send(self, client: int, peer: int, data: bytes) -> None:
        sender, address = self.stage.client(client), self.stage.peer(peer)
        rows: list[Row] = [(XOR_PEER_ADDRESS, address), (DATA, data)]
        sender.say(sender.message(Method.SEND, *rows, kind=Class.INDICATION))
        self.stage.relayed(self.stage.allocation(sender), address, data)

    @rule(client=living, number=numbers, data=payloads)
    def send_on_channel(self, client: int, number: int, data: bytes) -> None:
        sender = self.stage.client(client)
        sender.say(number.to_bytes(2) + len(data).to_bytes(2) + data)
        allocation = self.stage.allocation(sender)
        peer, _ = allocation.channels.get(number, (None, 0)) if allocation else (None, 0)
        self.stage.relayed(allocation, peer, data)

    @rule(peer=real_peers, client=living, data=payloads)
    def peer_speaks(self, peer: int, client: int, data: bytes) -> None:
        """A host writes to a relayed address, permitted or not."""
        allocation = self.stage.allocation(self.stage.client(client))
        if allocation is not None and allocation.relayed.family is Family.IPV4:
            self.stage.peers[peer].sendto(data, allocation.relayed)
            self.stage.world.turn()
            self.stage.arrived(self.stage.peer(peer), allocation.relayed, data)

    @rule(client=living, peer=st.integers(0, 2), number=st.none() | numbers, data=payloads)
    def converse(self, client: int, peer: int, number: int | None, data: bytes) -> None:
        """What a client does that only wants to get on: both ways, by indications or on a channel."""
        if number is None:
            self.permit(client, None, [peer])
            self.send(client, peer, data)
        else:
            self.bind(client, None, number, peer)
            self.send_on_channel(client, number, data)
        self.peer_speaks(peer, client, data)

    @rule(one=clients, other=clients, number=numbers, data=payloads)
    def meet(self, one: int, other: int, number: int, data: bytes) -> None:
        """Two clients of this relay, each of them the other's peer."""
        first_relayed = len(self.stage.peers)
        for here, there in ((one, other), (other, one)):
            self.bind(here, None, number, first_relayed + there)
        self.send_on_channel(one, number, data)
        self.send(other, first_relayed + one, data)

    @invariant()
    def relay_and_model_agree(self) -> None:
        self.stage.compare()


class NativeRelayAgainstModel(RelayAgainstModel):
    engine = EngineChoice.NATIVE


class RingRelayAgainstModel(RelayAgainstModel):
    engine, io = EngineChoice.NATIVE, Io.IO_URING


@pytest.fixture
def native_engine() -> None:
    engine_or_skip(EngineChoice.NATIVE, EngineSettings()).close()


@pytest.fixture
def native_engine_with_rings() -> None:
    engine_or_skip(EngineChoice.NATIVE, EngineSettings(io=Io.IO_URING)).close()


_SETTINGS = settings(
    max_examples=int(os.environ.get("FAIRLEAD_SIMULATION", "100")), stateful_step_count=50, deadline=None
)
TestRelayAgainstModel = RelayAgainstModel.TestCase
TestNativeRelayAgainstModel = pytest.mark.usefixtures("native_engine")(NativeRelayAgainstModel.TestCase)
TestRelayAgainstModel.settings = TestNativeRelayAgainstModel.settings = _SETTINGS
TestRingRelayAgainstModel = pytest.mark.usefixtures("native_engine_with_rings")(RingRelayAgainstModel.TestCase)
TestRingRelayAgainstModel.settings = settings(_SETTINGS, max_examples=_SETTINGS.max_examples // 4)
