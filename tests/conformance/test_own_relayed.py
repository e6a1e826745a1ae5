"""Two clients behind the same relay: its own addresses are peers, but only at ports that are relay sockets."""

import pytest

from fairlead.reasons import Reason
from fairlead.stun.attributes import DATA, XOR_PEER_ADDRESS
from fairlead.stun.message import decode
from tests.conformance.kit import NUMBER, VIA, Client, End, Relay, Rig, channel_data, plain_send
from turnd.routes import Ports


def pair(rig: Rig) -> list[tuple[Client, Relay]]:
    """Two clients whose relay sockets have a permission for each other's host, as far as it is relayed."""
    made = []
    for _ in range(2):
        client = rig.client()
        relay = rig.relay(client.five_tuple)
        relay.permit(rig.host, Ports.OWN_RELAYED)
        made.append((client, relay))
    return made


def test_two_clients_meet_over_channels(rig: Rig) -> None:
    (first, mine), (second, theirs) = pair(rig)
    mine.bind(NUMBER, theirs.address)
    theirs.bind(NUMBER + 1, mine.address)
    first.say(channel_data(b"to the second"))
    assert second.receive() == (channel_data(b"to the second", NUMBER + 1), rig.listener)
    second.say(channel_data(b"to the first", NUMBER + 1))
    assert first.receive() == (channel_data(b"to the first"), rig.listener)
    assert not rig.all_dropped()


def test_two_clients_meet_over_indications(rig: Rig) -> None:
    (first, mine), (second, theirs) = pair(rig)
    first.say(plain_send(theirs.address, b"data"))
    message = decode(second.receive()[0])
    assert message.first(XOR_PEER_ADDRESS) == mine.address
    assert message.first(DATA) == b"data"


def test_a_reserved_relay_socket_is_living_but_has_nobody_to_read(rig: Rig) -> None:
    client, _ = pair(rig)[0]
    reserved = rig.relay()
    client.say(plain_send(reserved.address, b"data"))
    rig.expect_dropped(Reason.NO_ALLOCATION)


@pytest.mark.parametrize("framing", ["channel", "indication"])
def test_other_sockets_of_the_host_are_out_of_reach(rig: Rig, framing: str) -> None:
    client, relay = pair(rig)[0]
    canary = rig.peer()
    _send(client, relay, canary, framing)
    rig.expect_dropped(Reason.PEER_NOT_ALLOCATED)


@pytest.mark.parametrize("framing", ["channel", "indication"])
def test_other_sockets_of_the_host_do_not_get_in(rig: Rig, framing: str) -> None:
    _, relay = pair(rig)[0]
    stranger = rig.peer()
    if framing == "channel":
        relay.bind(NUMBER, stranger.address)
    stranger.send(b"data", relay.address)
    rig.expect_dropped(Reason.PEER_NOT_ALLOCATED)


@pytest.mark.parametrize("framing", ["channel", "indication"])
def test_a_port_dies_with_its_relay_socket(rig: Rig, framing: str) -> None:
    (client, relay), (_, theirs) = pair(rig)
    if framing == "channel":
        relay.bind(NUMBER, theirs.address)
    rig.engine.close_relay(theirs.number)
    successor = rig.peer(port=theirs.address.port)
    _send(client, relay, successor, framing)
    rig.expect_dropped(Reason.PEER_NOT_ALLOCATED, 1)
    successor.send(b"data", relay.address)
    rig.expect_dropped(Reason.PEER_NOT_ALLOCATED, 2)


def test_a_port_that_comes_to_life_is_in_reach(rig: Rig) -> None:
    client, relay = pair(rig)[0]
    other, theirs = pair(rig)[1]
    rig.engine.close_relay(theirs.number)
    client.say(plain_send(theirs.address, b"data"))
    rig.expect_dropped(Reason.PEER_NOT_ALLOCATED)
    rig.engine.open_relay(theirs.number, theirs.address)
    rig.engine.set_client(theirs.number, other.five_tuple, VIA)
    theirs.permit(rig.host, Ports.OWN_RELAYED)
    client.say(plain_send(theirs.address, b"data"))
    message = decode(other.receive()[0])
    assert message.first(XOR_PEER_ADDRESS) == relay.address


def test_the_core_sends_by_the_same_rule(rig: Rig) -> None:
    _, relay = pair(rig)[0]
    rig.engine.send_from_relay(relay.number, rig.peer().address, b"data", False)
    rig.expect_dropped(Reason.PEER_NOT_ALLOCATED)


def test_any_port_means_any(rig: Rig) -> None:
    client, relay = pair(rig)[0]
    peer = rig.peer()
    relay.permit(rig.host, Ports.ANY)
    client.say(plain_send(peer.address, b"data"))
    assert peer.receive() == (b"data", relay.address)


def test_a_permission_can_become_narrower_under_a_channel(rig: Rig) -> None:
    client, relay, peer = rig.call()
    relay.permit(rig.host, Ports.OWN_RELAYED)
    client.say(channel_data(b"data"))
    rig.expect_dropped(Reason.PEER_NOT_ALLOCATED, 1)
    peer.send(b"data", relay.address)
    rig.expect_dropped(Reason.PEER_NOT_ALLOCATED, 2)


def _send(client: Client, relay: Relay, peer: End, framing: str) -> None:
    if framing == "channel":
        relay.bind(NUMBER, peer.address)
        client.say(channel_data(b"data"))
    else:
        client.say(plain_send(peer.address, b"data"))
