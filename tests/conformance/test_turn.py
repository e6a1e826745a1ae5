"""A turn is bounded in time, in number and in bytes, and gives every socket its share; floods are shed."""

import resource
import select
from collections.abc import Callable
from pathlib import Path

from fairlead.datagram import Address, FiveTuple, Transport, Via
from fairlead.reasons import Reason
from fairlead.stun.header import Class, Method
from fairlead.stun.message import encode, new_mask
from tests.conformance.conftest import MakeEngine, MakeRig
from tests.conformance.kit import IPV4, End, Rig, SelfWorking, channel_data, message_of, settle
from turnd.dataplane.contract import DataPlane

BUDGET = 20
ALLOCATE = encode(Method.ALLOCATE, Class.REQUEST, new_mask(bytes(12)))


def is_ready(engine: DataPlane) -> bool:
    settle(engine)
    return bool(select.select([engine.fileno()], [], [], 0)[0])


def a_turn(rig: Rig) -> None:
    """One turn, or for an engine that works by itself the time that it takes to do so."""
    settle(rig.engine)
    rig.engine.turn()


def relayed(rig: Rig) -> int:
    return sum(rig.engine.counters().packets.values())


def test_the_descriptor_is_readable_while_there_is_work_and_only_then(rig: Rig) -> None:
    client, relay, peer = rig.call()
    assert not is_ready(rig.engine)
    sends: list[tuple[Callable[[], None], End]] = [
        (lambda: client.say(channel_data(b"up")), peer),
        (lambda: peer.send(b"down", relay.address), client),
    ]
    for send, far_end in sends:
        send()
        far_end.receive()
        assert not is_ready(rig.engine)
    client.say(ALLOCATE)
    assert select.select([rig.engine.fileno()], [], [], 3)[0]
    assert len(rig.engine.turn()) == 1
    assert not is_ready(rig.engine)
    client.say(channel_data(b"up", number=0x4321))
    rig.expect_dropped(Reason.NO_CHANNEL)
    assert not is_ready(rig.engine)


def test_a_turn_without_work_does_nothing(make: MakeEngine) -> None:
    engine = make()
    assert not engine.turn()
    assert not is_ready(engine)


def test_a_turn_hands_up_no_more_than_its_budget(make_rig: MakeRig) -> None:
    rig = make_rig(budget=BUDGET)
    client = rig.client()
    for _ in range(3 * BUDGET):
        client.say(ALLOCATE)
    lengths: list[int] = []
    while sum(lengths) < 3 * BUDGET:
        settle(rig.engine)
        lengths.append(len(rig.engine.turn()))
    assert max(lengths) <= BUDGET


def test_a_turn_hands_up_no_more_than_a_few_megabytes(make_rig: MakeRig) -> None:
    rig = make_rig()
    client = rig.client()
    for number in range(100, 124):
        listener = rig.engine.open_listener(number, Address(IPV4, 0))
        rig.relay(FiveTuple(Transport.UDP, client.address, listener), Via(number, 0))
        for _ in range(8):
            client.send(message_of(65504), listener)
    turns = []
    while is_ready(rig.engine):
        turns.append(sum(len(item.data) for item in rig.engine.turn()))
    assert sum(turns) > 4 << 20
    assert max(turns) < 4 << 20


def test_a_turn_hands_up_no_more_than_a_few_megabytes_for_streams(make_rig: MakeRig) -> None:
    rig = make_rig()
    peer, server = rig.peer(), Address(IPV4, 3478)
    for port in range(1, 25):
        relay = rig.relay(FiveTuple(Transport.TCP, Address(IPV4, port), server), Via(70, port))
        relay.permit(IPV4)
        for _ in range(8):
            peer.send(b"\xff" * 65507, relay.address)
    turns = []
    while is_ready(rig.engine):
        turns.append(sum(len(item.data) for item in rig.engine.turn()))
    assert sum(turns) > 4 << 20
    assert max(turns) < 4 << 20


def test_a_flooded_listener_does_not_starve_relay_sockets(make_rig: MakeRig, host: str) -> None:
    rig = make_rig(host, budget=BUDGET)
    flooder = rig.client()
    calls = [rig.call() for _ in range(5)]
    for _, relay, peer in calls:
        for _ in range(10):
            peer.send(b"down", relay.address)
    for _ in range(10):
        for _ in range(2 * BUDGET):
            flooder.say(ALLOCATE)
        a_turn(rig)
    assert relayed(rig) == 50


def test_a_flooded_relay_socket_starves_nobody(make_rig: MakeRig, host: str) -> None:
    rig = make_rig(host, budget=BUDGET)
    _, flooded, flooder = rig.call()
    client, relay, _ = rig.call()
    for _ in range(5):
        client.say(channel_data(b"up"))
    for _ in range(5):
        for _ in range(2 * BUDGET):
            flooder.send(b"flood", flooded.address)
        a_turn(rig)
    assert rig.engine.usage(relay.number).packets_to_peer == 5


def test_a_flood_is_shed_and_memory_does_not_grow(make_rig: MakeRig) -> None:
    """Strangers and a peer send far more than one turn in between can take."""
    rig = make_rig(budget=BUDGET)
    client, relay, peer = rig.call()
    strangers = [rig.client() for _ in range(20)]

    def flood() -> None:
        for _ in range(5):
            for stranger in strangers:
                for message in (ALLOCATE, channel_data(bytes(1172)), message_of(1400)):
                    stranger.say(message)
                peer.send(bytes(1172), relay.address)
        a_turn(rig)

    for _ in range(60):
        flood()
    # An engine that works by itself keeps what waits for a turn, up to a bound that has to be reached first.
    while isinstance(rig.engine, SelfWorking) and Reason.SEND_BUFFER not in rig.all_dropped():
        flood()
    before = _resident_bytes()
    for _ in range(60):
        flood()
    assert _resident_bytes() - before < 1 << 20
    assert Reason.NO_ALLOCATION in rig.all_dropped()
    assert rig.all_dropped().keys() <= {Reason.NO_ALLOCATION, Reason.SEND_BUFFER}
    while is_ready(rig.engine):
        rig.engine.turn()
    while not peer.is_silent():
        peer.receive()
    client.say(channel_data(b"still alive"))
    assert peer.receive() == (b"still alive", relay.address)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
