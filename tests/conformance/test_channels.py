"""ChannelData, both ways (RFC 8656 section 12)."""

import pytest

from fairlead.reasons import Reason
from tests.conformance.kit import LONGEST, NUMBER, Rig, channel_data
from turnd.dataplane.contract import Direction, Framing
from turnd.routes import Ports

UP = (Direction.TO_PEER, Framing.CHANNEL)
DOWN = (Direction.TO_CLIENT, Framing.CHANNEL)


@pytest.mark.parametrize("data", [b"", b"x", b"four", b"fives", bytes(1172)], ids=len)
def test_data_goes_both_ways(rig: Rig, data: bytes) -> None:
    client, relay, peer = rig.call()
    client.say(channel_data(data))
    assert peer.receive() == (data, relay.address)
    peer.send(data, relay.address)
    assert client.receive() == (channel_data(data), rig.listener)
    assert rig.passed() == {UP: (1, len(data)), DOWN: (1, len(data))}
    assert not rig.all_dropped()
    rig.expect_silence()


@pytest.mark.parametrize("padding", [b"\0", bytes(3), b"abc", bytes(500)], ids=len)
def test_padding_is_accepted_and_stays_behind(rig: Rig, padding: bytes) -> None:
    client, relay, peer = rig.call()
    client.say(channel_data(b"abc") + padding)
    assert peer.receive() == (b"abc", relay.address)


def test_what_arrived_earlier_is_not_seen_again(rig: Rig) -> None:
    client, _, peer = rig.call()
    client.say(channel_data(b"secret secret secret"))
    peer.receive()
    client.say(channel_data(b"", length=20))
    rig.expect_dropped(Reason.MALFORMED)


@pytest.mark.parametrize(("sent", "promised"), [(0, 1), (3, 4), (172, 173), (172, 65535)])
def test_a_length_beyond_the_datagram_is_malformed(rig: Rig, sent: int, promised: int) -> None:
    client, _, _ = rig.call()
    client.say(channel_data(bytes(sent), length=promised))
    rig.expect_dropped(Reason.MALFORMED)


def test_the_longest_datagrams_pass(rig: Rig) -> None:
    client, relay, peer = rig.call()
    data = bytes(range(256)) * 256
    longest = data[: LONGEST[rig.host] - 4]
    client.say(channel_data(longest))
    assert peer.receive() == (longest, relay.address)
    peer.send(longest, relay.address)
    assert client.receive() == (channel_data(longest), rig.listener)


def test_what_has_no_room_for_the_header_is_too_large(rig: Rig) -> None:
    _, relay, peer = rig.call()
    peer.send(bytes(LONGEST[rig.host] - 3), relay.address)
    rig.expect_dropped(Reason.TOO_LARGE)


@pytest.mark.parametrize("number", [0x4000, 0x4FFF, 0x5000, 0x7FFF], ids=hex)
def test_every_number_can_be_bound(rig: Rig, number: int) -> None:
    client, peer = rig.client(), rig.peer()
    relay = rig.relay(client.five_tuple)
    relay.permit(peer.address.host)
    relay.bind(number, peer.address)
    client.say(channel_data(b"up", number))
    assert peer.receive() == (b"up", relay.address)
    peer.send(b"down", relay.address)
    assert client.receive() == (channel_data(b"down", number), rig.listener)


@pytest.mark.parametrize("number", [0x4001, 0x7FFF], ids=hex)
def test_a_number_that_is_not_bound_is_dropped(rig: Rig, number: int) -> None:
    client, _, _ = rig.call()
    client.say(channel_data(b"up", number))
    rig.expect_dropped(Reason.NO_CHANNEL)


def test_a_stranger_has_no_channels(rig: Rig) -> None:
    rig.call()
    rig.client().say(channel_data(b"up"))
    rig.expect_dropped(Reason.NO_ALLOCATION)


def test_another_clients_channel_is_not_mine(rig: Rig) -> None:
    rig.call()
    other = rig.client()
    rig.relay(other.five_tuple)
    other.say(channel_data(b"up"))
    rig.expect_dropped(Reason.NO_CHANNEL)


def test_two_clients_with_the_same_number_do_not_mix(rig: Rig) -> None:
    calls = [rig.call() for _ in range(3)]
    for place, (client, _, _) in enumerate(calls):
        client.say(channel_data(bytes([place])))
    for place, (_, relay, peer) in enumerate(calls):
        assert peer.receive() == (bytes([place]), relay.address)
        peer.send(bytes([place]), relay.address)
    for place, (client, _, _) in enumerate(calls):
        assert client.receive() == (channel_data(bytes([place])), rig.listener)
    rig.expect_silence()


def test_one_client_speaks_with_many_peers(rig: Rig) -> None:
    client, relay, _ = rig.call()
    peers = [rig.peer() for _ in range(5)]
    for place, peer in enumerate(peers, start=1):
        relay.bind(NUMBER + place, peer.address)
    for place, peer in enumerate(peers, start=1):
        client.say(channel_data(bytes([place]), NUMBER + place))
        assert peer.receive() == (bytes([place]), relay.address)
        peer.send(bytes([place]), relay.address)
        assert client.receive() == (channel_data(bytes([place]), NUMBER + place), rig.listener)


def test_a_channel_needs_its_permission_both_ways(rig: Rig) -> None:
    client, relay, peer = rig.call()
    permission = relay.permit(peer.address.host)
    rig.engine.clear_route(permission)
    client.say(channel_data(b"up"))
    rig.expect_dropped(Reason.NO_PERMISSION, 1)
    peer.send(b"down", relay.address)
    rig.expect_dropped(Reason.NO_PERMISSION, 2)
    relay.permit(peer.address.host)
    client.say(channel_data(b"up"))
    assert peer.receive() == (b"up", relay.address)
    peer.send(b"down", relay.address)
    assert client.receive() == (channel_data(b"down"), rig.listener)


def test_the_permission_may_come_after_the_channel(rig: Rig) -> None:
    client, peer = rig.client(), rig.peer()
    relay = rig.relay(client.five_tuple)
    relay.bind(NUMBER, peer.address)
    relay.permit(peer.address.host, Ports.ANY)
    client.say(channel_data(b"up"))
    assert peer.receive() == (b"up", relay.address)


def test_a_channel_that_is_cleared_is_gone_and_its_permission_stays(rig: Rig) -> None:
    client, relay, peer = rig.call()
    rig.engine.clear_route(relay.bind(NUMBER, peer.address))
    client.say(channel_data(b"up"))
    rig.expect_dropped(Reason.NO_CHANNEL)
    peer.send(b"down", relay.address)
    assert rig.engine.counters().packets[DOWN] == 0
    data, _ = client.receive()
    assert data[:2] == b"\0\x17"


def test_the_order_of_packets_stays(rig: Rig) -> None:
    client, relay, peer = rig.call()
    for number in range(50):
        client.say(channel_data(bytes([number])))
        peer.send(bytes([number]), relay.address)
    assert [peer.receive()[0] for _ in range(50)] == [bytes([number]) for number in range(50)]
    assert [client.receive()[0] for _ in range(50)] == [channel_data(bytes([number])) for number in range(50)]
    assert rig.passed() == {UP: (50, 50), DOWN: (50, 50)}
