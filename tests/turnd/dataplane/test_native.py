"""What the conformance cases do not see: what the native engine shares with Python, and that it keeps nothing."""

import os
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from fairlead.datagram import Address, FiveTuple, Transport, Via
from fairlead.native import EngineChoice, EngineMissingError
from fairlead.reasons import Reason
from fairlead.stun import attributes as stun
from fairlead.stun.header import Class, Method
from fairlead.stun.integrity import SHA1
from fairlead.stun.message import Signature, encode, new_mask
from tests.architecture.house import ROOT
from tests.conformance.kit import free_address, settle
from tests.processes import wait_for
from tests.skipping import skip_for_lack_of
from tests.turnd.kit import World
from turnd.assembly import make_challenges
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


def tasks() -> set[str]:
    """The threads of this process. One that has been waited for may still be among them for a moment."""
    return set(os.listdir("/proc/self/task"))


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


def test_forged_nonces_in_a_clients_name_do_not_stand_before_the_client(engine: DataPlane) -> None:
    """Who writes a client's address on his packets need not know a nonce that was given to it: few of his go first."""
    server = engine.open_listener(1, Address("127.0.0.1", 0))
    engine.challenge(make_challenges(World(challenges=(0.001, 3)).state))
    mask = new_mask(b"transaction!")
    forged = encode(Method.REFRESH, Class.REQUEST, mask, [(stun.NONCE, "made up")], Signature(SHA1, bytes(16)))
    own = encode(Method.CONNECT, Class.REQUEST, mask)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind(("127.0.0.1", 0))
        engine.open_relay(RelayId(1), Address("127.0.0.1", 0))
        engine.set_client(RelayId(1), FiveTuple(Transport.UDP, Address(*client.getsockname()), server), Via(1))
        for data in [forged] * 5 + [own]:
            client.sendto(data, server)
        settle(engine)
        assert [item.data for item in engine.turn()] == [forged] * 3 + [own] + [forged] * 2


def test_an_engine_that_is_closed_leaves_neither_threads_nor_descriptors() -> None:
    before, ours = descriptors(), tasks()
    for _ in range(3):
        try:
            engine = make_engine(EngineChoice.NATIVE, EngineSettings())
        except EngineMissingError as missing:
            skip_for_lack_of("the native engine", enable=missing.remedy)
        engine.open_relay(RelayId(1), free_address("127.0.0.1"))
        assert tasks() - ours
        engine.close()
        engine.close()
        assert descriptors() == before
        wait_for("the end of the engine's thread", lambda: tasks() <= ours or None)


def test_what_is_no_address_is_said_to_be_none(engine: DataPlane) -> None:
    with pytest.raises(ValueError, match="'here' is no IP address"):
        engine.open_listener(1, Address("here", 0))
