"""What the conformance cases do not see: what the native engine shares with Python, and that it keeps nothing."""

import os
from collections.abc import Iterator
from contextlib import closing

import pytest

from fairlead.datagram import Address, FiveTuple, Transport, Via
from fairlead.native import EngineChoice, EngineMissingError
from fairlead.reasons import Reason
from tests.architecture.house import ROOT
from tests.conformance.kit import free_address
from tests.skipping import skip_for_lack_of
from turnd.dataplane.choice import make_engine
from turnd.dataplane.contract import DataPlane, EngineSettings
from turnd.routes import Channel, Permission, Ports, RelayId


@pytest.fixture
def engine() -> Iterator[DataPlane]:
    try:
        made = make_engine(EngineChoice.NATIVE, EngineSettings())
    except EngineMissingError as missing:
        skip_for_lack_of("the native engine", enable=missing.remedy)
    with closing(made):
        yield made


def as_rust() -> str:
    """What native/routes/src/reasons.in must say."""
    rows = "".join(f'    {"".join(map(str.title, reason.split("_")))} = "{reason}",\n' for reason in Reason)
    return f"reasons! {{\n{rows}}}\n"


def test_the_words_for_a_packets_end_are_those_of_the_whole_project() -> None:
    file = ROOT / "native" / "routes" / "src" / "reasons.in"
    assert file.read_text() == as_rust(), f"fairlead/reasons.py has changed: write this into {file}"


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


def test_allocations_that_come_and_go_leave_nothing_behind(engine: DataPlane) -> None:
    server = engine.open_listener(1, Address("127.0.0.1", 0))
    open_before = descriptors()
    for number in range(200):
        relay, client = RelayId(number), FiveTuple(Transport.UDP, Address("127.0.0.1", 1000 + number), server)
        engine.open_relay(relay, Address("127.0.0.1", 0))
        engine.set_client(relay, client, Via(1))
        engine.set_route(Permission(relay, "127.0.0.1", Ports.ANY))
        engine.set_route(Channel(relay, 0x4000, Address("127.0.0.1", 9)))
        engine.close_relay(relay)
    assert not engine.routes()
    assert descriptors() == open_before


def test_a_relay_socket_that_cannot_be_opened_leaves_nothing_behind(engine: DataPlane) -> None:
    taken = engine.open_listener(1, Address("127.0.0.1", 0))
    open_before = descriptors()
    for _ in range(3):
        with pytest.raises(OSError, match="in use"):
            engine.open_relay(RelayId(1), taken)
    assert descriptors() == open_before


def test_an_engine_that_is_closed_leaves_neither_threads_nor_descriptors() -> None:
    before, tasks = descriptors(), threads()
    for _ in range(3):
        try:
            engine = make_engine(EngineChoice.NATIVE, EngineSettings())
        except EngineMissingError as missing:
            skip_for_lack_of("the native engine", enable=missing.remedy)
        engine.open_relay(RelayId(1), free_address("127.0.0.1"))
        assert threads() == tasks + 1
        engine.close()
        engine.close()
    assert threads() == tasks
    assert descriptors() == before


def test_what_is_no_address_is_said_to_be_none(engine: DataPlane) -> None:
    with pytest.raises(ValueError, match="'here' is no IP address"):
        engine.open_listener(1, Address("here", 0))
