"""What the conformance cases do not see: that an engine keeps nothing of what is over, and what one turn does."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing

import pytest

from fairlead.datagram import Address, FiveTuple, Transport, Via
from tests.conformance.kit import IPV4, Rig, channel_data
from turnd.dataplane.contract import EngineSettings
from turnd.dataplane.python import PythonEngine
from turnd.routes import Channel, Permission, Ports, RelayId

BUDGET = 20


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_allocations_that_come_and_go_leave_nothing_behind() -> None:
    with closing(PythonEngine()) as engine:
        server = engine.open_listener(1, Address("127.0.0.1", 0))
        open_before = descriptors()
        for number in range(200):
            relay, client = RelayId(number), FiveTuple(Transport.UDP, Address("127.0.0.1", 1000 + number), server)
            engine.open_relay(relay, Address("127.0.0.1", 0))
            engine.set_client(relay, client, Via(1))
            engine.set_route(Permission(relay, "127.0.0.1", Ports.ANY))
            engine.set_route(Channel(relay, 0x4000, Address("127.0.0.1", 9)))
            engine.close_relay(relay)
        assert descriptors() == open_before
        assert len(engine._readers) == 1
        assert not engine._owners
        assert not engine._listeners[1]._clients
        assert not engine._switchboard.living


def test_a_relay_socket_that_cannot_be_opened_leaves_nothing_behind() -> None:
    with closing(PythonEngine()) as engine:
        taken = engine.open_listener(1, Address("127.0.0.1", 0))
        open_before = descriptors()
        for _ in range(3):
            with pytest.raises(OSError, match="in use"):
                engine.open_relay(RelayId(1), taken)
        assert descriptors() == open_before
        assert not engine._switchboard.living


@pytest.fixture
def make_rig() -> Iterator[Callable[[int], Rig]]:
    with ExitStack() as stack:
        yield lambda budget: Rig(stack.enter_context(closing(PythonEngine(EngineSettings(budget=budget)))), IPV4, stack)


def relayed(rig: Rig) -> int:
    return sum(rig.engine.counters().packets.values())


@pytest.mark.parametrize("calls", [1, 5])
def test_a_turn_forwards_no_more_than_its_budget(make_rig: Callable[[int], Rig], calls: int) -> None:
    rig = make_rig(BUDGET)
    for client, relay, peer in [rig.call() for _ in range(calls)]:
        for _ in range(2 * BUDGET):
            client.say(channel_data(b"up"))
            peer.send(b"down", relay.address)
    while relayed(rig) < 4 * BUDGET * calls:
        before = relayed(rig)
        rig.engine.turn()
        assert before < relayed(rig) <= before + BUDGET


def test_sockets_take_turns_when_more_are_ready_than_the_budget_is_great(make_rig: Callable[[int], Rig]) -> None:
    rig = make_rig(4)
    calls = [rig.call() for _ in range(12)]
    for _ in range(3):
        for _, relay, peer in calls:
            peer.send(b"down", relay.address)
    for _ in range(30):
        for _, flooded, flooder in calls[:3]:
            flooder.send(b"flood", flooded.address)
        before = relayed(rig)
        rig.engine.turn()
        assert relayed(rig) <= before + 4
    assert all(rig.engine.usage(relay.number).packets_to_client >= 3 for _, relay, _ in calls)
