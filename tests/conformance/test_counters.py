"""Counters are exact, per relay socket and for the engine."""

from fairlead.reasons import Reason
from tests.conformance.conftest import MakeEngine
from tests.conformance.kit import Rig, channel_data, plain_send
from turnd.dataplane.contract import Direction, Framing, Usage


def test_every_label_starts_at_zero(make: MakeEngine) -> None:
    counters = make().counters()
    kinds = {(direction, framing) for direction in Direction for framing in Framing}
    assert dict(counters.packets) == dict.fromkeys(kinds, 0)
    assert dict(counters.bytes) == dict.fromkeys(kinds, 0)
    assert dict(counters.dropped) == dict.fromkeys(Reason, 0)


def test_what_passes_is_counted_without_its_framing(rig: Rig) -> None:
    client, relay, peer = rig.call()
    unbound = rig.peer()
    for size in (0, 1, 172, 1000):
        client.say(channel_data(bytes(size)) + bytes(3))
        peer.receive()
        client.say(plain_send(unbound.address, bytes(size), fingerprint=True))
        unbound.receive()
        peer.send(bytes(2 * size), relay.address)
        client.receive()
    unbound.send(bytes(5), relay.address)
    client.receive()
    assert rig.passed() == {
        (Direction.TO_PEER, Framing.CHANNEL): (4, 1173),
        (Direction.TO_PEER, Framing.INDICATION): (4, 1173),
        (Direction.TO_CLIENT, Framing.CHANNEL): (4, 2346),
        (Direction.TO_CLIENT, Framing.INDICATION): (1, 5),
    }
    usage = Usage(packets_to_peer=8, bytes_to_peer=2346, packets_to_client=5, bytes_to_client=2351)
    assert rig.engine.usage(relay.number) == usage
    assert rig.engine.close_relay(relay.number) == usage


def test_what_has_passed_outlives_its_relay_socket(rig: Rig) -> None:
    for _ in range(3):
        client, relay, peer = rig.call()
        client.say(channel_data(b"data"))
        peer.receive()
        rig.engine.close_relay(relay.number)
    rig.call()
    assert rig.passed() == {(Direction.TO_PEER, Framing.CHANNEL): (3, 12)}


def test_each_relay_socket_counts_its_own(rig: Rig) -> None:
    (first, mine, peer), (_, theirs, _) = rig.call(), rig.call()
    first.say(channel_data(b"data"))
    peer.receive()
    assert rig.engine.usage(mine.number) == Usage(packets_to_peer=1, bytes_to_peer=4)
    assert rig.engine.usage(theirs.number) == Usage()


def test_what_is_dropped_counts_as_nothing_else(rig: Rig) -> None:
    client, relay, _ = rig.call()
    client.say(channel_data(b"data", number=0x4321))
    rig.expect_dropped(Reason.NO_CHANNEL)
    assert not rig.passed()
    assert rig.engine.usage(relay.number) == Usage()


def test_counters_that_were_read_do_not_change_any_more(rig: Rig) -> None:
    client, relay, peer = rig.call()
    counters, usage = rig.engine.counters(), rig.engine.usage(relay.number)
    client.say(channel_data(b"data"))
    peer.receive()
    client.say(channel_data(b"data", number=0x4321))
    rig.expect_dropped(Reason.NO_CHANNEL)
    assert not any(counters.packets.values())
    assert not any(counters.dropped.values())
    assert usage == Usage()
