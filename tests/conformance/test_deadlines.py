"""What ends by itself passes nothing from its deadline on, though nobody withdraws it; who renews it goes on."""

import math
import time
from collections.abc import Callable

import pytest

from fairlead.datagram import Address, Datagram, FiveTuple, Transport, Via
from fairlead.reasons import Reason
from tests.conformance.conftest import MakeRig
from tests.conformance.kit import NUMBER, PATIENCE, Client, End, Relay, Rig, channel_data, plain_send, settle

#: Deadlines that have passed before anything is sent, and that will not while a test runs.
OVER, AHEAD = -0.05, 3600.0


def in_seconds(seconds: float) -> float:
    return time.monotonic() + seconds


def exchange(rig: Rig, client: Client, relay: Relay, peer: End) -> None:
    """Both ways, on the channel and beside it."""
    for message in (channel_data(b"up"), plain_send(peer.address, b"up")):
        client.say(message)
        assert peer.receive() == (b"up", relay.address)
    peer.send(b"down", relay.address)
    assert client.receive() == (channel_data(b"down"), rig.listener)


def refused(rig: Rig, *attempts: tuple[Callable[[], None], Reason]) -> None:
    """Each of them is dropped for its reason."""
    for attempt, reason in attempts:
        before = rig.all_dropped()
        attempt()
        times = before.pop(reason, 0) + 1
        rig.expect_dropped(reason, times, before)


def test_a_permission_ends(rig: Rig) -> None:
    client, relay, peer = rig.call()
    attempts = [
        lambda: client.say(channel_data(b"late")),
        lambda: client.say(plain_send(peer.address, b"late")),
        lambda: peer.send(b"late", relay.address),
        lambda: rig.engine.send_from_relay(relay.number, peer.address, b"late", False),
    ]
    permission = relay.permit(rig.host, until=in_seconds(OVER))
    refused(rig, *((attempt, Reason.NO_PERMISSION) for attempt in attempts))
    assert permission in rig.engine.routes()
    relay.permit(rig.host, until=in_seconds(AHEAD))
    exchange(rig, client, relay, peer)


def test_a_channel_ends_and_leaves_the_permission(rig: Rig) -> None:
    client, relay, peer = rig.call()
    channel = relay.bind(NUMBER, peer.address, until=in_seconds(OVER))
    refused(rig, (lambda: client.say(channel_data(b"late")), Reason.NO_CHANNEL))
    peer.send(b"down", relay.address)
    assert client.receive()[0][:2] == b"\0\x17"
    client.say(plain_send(peer.address, b"up"))
    assert peer.receive() == (b"up", relay.address)
    assert channel in rig.engine.routes()
    relay.bind(NUMBER, peer.address, until=in_seconds(AHEAD))
    exchange(rig, client, relay, peer)


def test_a_relay_socket_ends_as_if_it_were_closed(rig: Rig) -> None:
    client, relay, peer = rig.call()
    routes = rig.engine.routes()
    rig.engine.set_deadline(relay.number, in_seconds(OVER))
    refused(
        rig,
        (lambda: client.say(channel_data(b"late")), Reason.NO_ALLOCATION),
        (lambda: client.say(plain_send(peer.address, b"late")), Reason.NO_ALLOCATION),
        (lambda: peer.send(b"late", relay.address), Reason.NO_ALLOCATION),
        (
            lambda: rig.engine.send_from_relay(relay.number, peer.address, b"late", False),
            Reason.NO_ALLOCATION,
        ),
    )
    # What is bound meanwhile changes nothing of that.
    relay.bind(NUMBER, peer.address)
    refused(rig, (lambda: client.say(channel_data(b"late")), Reason.NO_ALLOCATION))
    assert rig.engine.routes() == routes
    rig.engine.set_deadline(relay.number, in_seconds(AHEAD))
    exchange(rig, client, relay, peer)


def test_of_two_relay_sockets_one_ends(make_rig: MakeRig) -> None:
    rig = make_rig()
    client, relay, peer = rig.call()
    other = rig.relay(client.five_tuple, host="::1")
    other.permit("::1")
    rig.engine.set_deadline(relay.number, in_seconds(OVER))
    refused(
        rig,
        (lambda: client.say(channel_data(b"late")), Reason.NO_CHANNEL),
        (lambda: client.say(plain_send(peer.address, b"late")), Reason.PEER_FAMILY),
    )


def test_a_deadline_comes_while_packets_pass(make_rig: MakeRig) -> None:
    """Nobody says anything to the engine meanwhile."""
    rig = make_rig()
    client, relay, peer = rig.call()
    exchange(rig, client, relay, peer)
    end, patience = in_seconds(0.15), in_seconds(PATIENCE)
    relay.permit(rig.host, until=end)
    while True:
        client.say(channel_data(b"perhaps"))
        settle(rig.engine)
        rig.engine.turn()
        dropped, now = rig.all_dropped(), time.monotonic()
        if dropped:
            break
        assert now < patience
    assert dropped == {Reason.NO_PERMISSION: 1}
    assert now >= end


@pytest.mark.parametrize("until", [OVER, AHEAD])
def test_a_relay_socket_keeps_its_deadlines_when_its_client_moves(make_rig: MakeRig, until: float) -> None:
    """To wherever the kernel has its packets come in; an engine with threads moves the relay socket too."""
    rig = make_rig()
    peer, relay = rig.peer(), rig.relay(rig.client().five_tuple)
    relay.permit(rig.host, until=in_seconds(until))
    relay.bind(NUMBER, peer.address, until=in_seconds(AHEAD))
    rig.engine.set_deadline(relay.number, in_seconds(AHEAD))
    via = Via(70, path=1)
    client = FiveTuple(Transport.TCP, Address(rig.host, 9), rig.listener)
    rig.engine.set_client(relay.number, client, via)
    rig.engine.deliver(Datagram(channel_data(b"up"), client, via))
    if until is OVER:
        rig.work_until(lambda: rig.all_dropped() == {Reason.NO_PERMISSION: 1})
    else:
        assert peer.receive() == (b"up", relay.address)


def test_a_stream_client_finds_the_end_too(make_rig: MakeRig) -> None:
    rig = make_rig()
    peer, via = rig.peer(), Via(70)
    client = FiveTuple(Transport.TCP, Address(rig.host, 9), rig.listener)
    relay = rig.relay(client, via)
    relay.permit(rig.host, until=in_seconds(OVER))
    relay.bind(NUMBER, peer.address, until=math.inf)
    rig.engine.deliver(Datagram(channel_data(b"late"), client, via))
    rig.work_until(lambda: rig.all_dropped() == {Reason.NO_PERMISSION: 1})
