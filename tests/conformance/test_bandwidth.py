"""Token buckets of bytes: of a relay socket, and of a user; whatever the way of a packet."""

from collections.abc import Callable

import pytest

from fairlead.buckets import UNLIMITED, Rate
from fairlead.datagram import Address, Datagram, FiveTuple, Transport, Via
from fairlead.reasons import Reason
from tests.conformance.kit import NUMBER, Rig, channel_data, plain_send
from turnd.dataplane.contract import Usage
from turnd.routes import Bandwidth, RelayId

STREAM = Via(70, 7)


def burst(size: int) -> Rate:
    """So many bytes, and as good as nothing behind them."""
    return Rate(per_second=0.001, burst=size)


@pytest.mark.parametrize(
    ("bandwidth", "reason"),
    [(Bandwidth(burst(1000)), Reason.BANDWIDTH), (Bandwidth(user=burst(1000)), Reason.USER_BANDWIDTH)],
    ids=["of the relay socket", "of the user"],
)
def test_every_way_takes_from_one_bucket(rig: Rig, bandwidth: Bandwidth, reason: Reason) -> None:
    """Each way alone would fit."""
    client, relay, peer = rig.call()
    unbound = rig.peer()
    rig.engine.limit(relay.number, "alice", bandwidth)
    ways: list[Callable[[bytes], object]] = [
        lambda data: client.say(channel_data(data)),
        lambda data: client.say(plain_send(unbound.address, data)),
        lambda data: peer.send(data, relay.address),
        lambda data: unbound.send(data, relay.address),
        lambda data: rig.engine.send_from_relay(relay.number, unbound.address, data, False),
        lambda data: rig.engine.send_from_relay(relay.number, unbound.address, data, True),
    ]
    far_ends = [peer, unbound, client, client, unbound, unbound]
    for way, far_end in zip(ways, far_ends, strict=True):
        way(bytes(160))
        far_end.receive()
    for place, way in enumerate(ways):
        way(bytes(160))
        rig.expect_dropped(reason, place + 1)
    client.say(channel_data(bytes(40)))
    peer.receive()
    assert rig.engine.usage(relay.number) == Usage(5, 680, 2, 320)


def test_streams_are_held_to_it_too(rig: Rig) -> None:
    five_tuple = FiveTuple(Transport.TCP, Address(rig.host, 40000), Address(rig.host, 3478))
    relay, peer = rig.relay(five_tuple, STREAM), rig.peer()
    relay.permit(peer.address.host)
    relay.bind(NUMBER, peer.address)
    rig.engine.limit(relay.number, "alice", Bandwidth(burst(1000), burst(1000)))
    assert not rig.engine.deliver(Datagram(channel_data(bytes(400)), five_tuple, STREAM))
    peer.receive()
    peer.send(bytes(400), relay.address)
    rig.next_handed_up()
    assert not rig.engine.deliver(Datagram(channel_data(bytes(400)), five_tuple, STREAM))
    rig.expect_dropped(Reason.BANDWIDTH, 1)
    peer.send(bytes(400), relay.address)
    rig.expect_dropped(Reason.BANDWIDTH, 2)


def test_the_relay_sockets_of_a_user_share(rig: Rig) -> None:
    calls = [rig.call() for _ in range(3)]
    for (_, relay, _), user in zip(calls, ("alice", "alice", "bob"), strict=True):
        rig.engine.limit(relay.number, user, Bandwidth(user=burst(1000)))
    (one, _, its_peer), (other, _, _), (stranger, _, strangers_peer) = calls
    one.say(channel_data(bytes(600)))
    its_peer.receive()
    other.say(channel_data(bytes(600)))
    rig.expect_dropped(Reason.USER_BANDWIDTH)
    stranger.say(channel_data(bytes(600)))
    strangers_peer.receive()


def test_a_user_who_has_one_call_left_has_what_is_left(rig: Rig) -> None:
    (one, first, peer), (other, second, _) = rig.call(), rig.call()
    for relay in (first, second):
        rig.engine.limit(relay.number, "alice", Bandwidth(user=burst(1000)))
    one.say(channel_data(bytes(600)))
    peer.receive()
    rig.engine.close_relay(first.number)
    other.say(channel_data(bytes(600)))
    rig.expect_dropped(Reason.USER_BANDWIDTH)


def test_other_limits_count_from_now_on_and_buckets_stay_as_full(rig: Rig) -> None:
    client, relay, peer = rig.call()
    limit = rig.engine.limit
    limit(relay.number, "alice", Bandwidth(burst(1000)))
    client.say(channel_data(bytes(1000)))
    peer.receive()
    limit(relay.number, "alice", Bandwidth(burst(1000), burst(10)))
    client.say(channel_data(bytes(20)))
    rig.expect_dropped(Reason.BANDWIDTH, 1)
    limit(relay.number, "alice", Bandwidth(user=burst(10)))
    client.say(channel_data(bytes(20)))
    rig.expect_dropped(Reason.USER_BANDWIDTH, 1, before={Reason.BANDWIDTH: 1})
    limit(relay.number, "alice", Bandwidth(UNLIMITED, UNLIMITED))
    client.say(channel_data(bytes(2000)))
    assert len(peer.receive()[0]) == 2000


def test_what_flows_in_may_pass(rig: Rig) -> None:
    client, relay, peer = rig.call()
    rig.engine.limit(relay.number, "alice", Bandwidth(Rate(per_second=100_000_000, burst=1000)))
    for _ in range(200):
        client.say(channel_data(bytes(1000)))
        peer.receive()
    assert not rig.all_dropped()


def test_a_limit_goes_with_a_relay_socket_to_another_client(rig: Rig) -> None:
    _, relay, peer = rig.call()
    successor = rig.client()
    rig.engine.limit(relay.number, "alice", Bandwidth(burst(1000)))
    rig.engine.set_client(relay.number, successor.five_tuple, Via(1))
    successor.say(channel_data(bytes(600)))
    peer.receive()
    successor.say(channel_data(bytes(600)))
    rig.expect_dropped(Reason.BANDWIDTH)


def test_nothing_can_be_limited_that_is_not_open(rig: Rig) -> None:
    with pytest.raises(KeyError):
        rig.engine.limit(RelayId(99), "alice", Bandwidth(burst(1000)))
