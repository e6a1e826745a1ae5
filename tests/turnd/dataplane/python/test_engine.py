"""What the conformance cases do not see: that an engine keeps nothing of what is over."""

import os
from contextlib import closing

import pytest

from fairlead.datagram import Address, FiveTuple, Transport, Via
from turnd.dataplane.python import PythonEngine
from turnd.routes import Channel, Permission, Ports, RelayId


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
