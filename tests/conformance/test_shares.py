"""What one client has its core do, or its peers have sent to it, takes nothing of what the others get."""

import time

import pytest

from fairlead.clock import Now
from fairlead.datagram import Address, Datagram, FiveTuple, Transport, Via
from fairlead.reasons import Reason
from fairlead.stun import attributes as stun
from fairlead.stun.header import Class, Method
from fairlead.stun.integrity import SHA1
from fairlead.stun.message import Signature, encode, new_mask
from tests.conformance.conftest import MakeRig
from tests.conformance.kit import IPV4, Client, End, Rig, channel_data, send_indication, settle
from tests.turnd.kit import World
from turnd.assembly import make_challenges
from turnd.dataplane.contract import StreamData
from turnd.dataplane.shares import ALL_ELSE, REQUESTS
from turnd.routes import RelayId

#: CLOCK_MONOTONIC_COARSE of clock_gettime(2)
_COARSE = 6
#: Messages that are sent before the engine is given time: what the kernel has room for.
AT_ONCE = 50


def refresh(world: World, client: Client) -> bytes:
    """One with a nonce that is the client's, and somebody's key: whose it is nobody but the core can say."""
    nonce = world.state.nonces.mint(client.address, Now(time.monotonic(), time.time()))
    rows = [(stun.USERNAME, "alice"), (stun.REALM, "fairlead.test"), (stun.NONCE, nonce)]
    return encode(Method.REFRESH, Class.REQUEST, new_mask(bytes(12)), rows, Signature(SHA1, bytes(16)))


def handed_up(rig: Rig, client: Client, message: bytes, count: int) -> int:
    """How many of so many are handed up."""
    times = 0
    for number in range(count):
        client.say(message)
        if number % AT_ONCE == AT_ONCE - 1 or number == count - 1:
            settle(rig.engine)
            items = rig.engine.turn()
            times += sum(isinstance(item, Datagram) and item.five_tuple == client.five_tuple for item in items)
    return times


def clocks() -> tuple[float, float]:
    """Those that engines go by; the second one stands still for some milliseconds, and then leaps."""
    return time.monotonic(), time.clock_gettime(_COARSE)


@pytest.mark.parametrize("is_request", [True, False], ids=["requests", "all else"])
def test_who_asks_without_end_is_heard_as_often_as_others_may_ask(make_rig: MakeRig, is_request: bool) -> None:
    rig, world, count = make_rig(), World(), 1000
    rig.engine.challenge(make_challenges(world.state))
    (flooder, _, _), (other, _, _) = rig.call(), rig.call()
    # DONT-FRAGMENT makes it the core's.
    data = send_indication((stun.XOR_PEER_ADDRESS, Address(IPV4, 9)), (stun.DONT_FRAGMENT, True), (stun.DATA, b"data"))
    rate = REQUESTS if is_request else ALL_ELSE
    before = clocks()
    heard = handed_up(rig, flooder, refresh(world, flooder) if is_request else data, count)
    most = rate.burst + 1 + rate.per_second * max(now - then for now, then in zip(clocks(), before, strict=True))
    assert rate.burst <= heard <= most
    assert rig.all_dropped() == {Reason.RATE_LIMITED: count - heard}
    assert handed_up(rig, other, refresh(world, other), AT_ONCE) == AT_ONCE
    assert handed_up(rig, other, data, AT_ONCE) == AT_ONCE
    # What anybody may write in a client's name costs it no request.
    if not is_request:
        assert handed_up(rig, flooder, refresh(world, flooder), AT_ONCE) == AT_ONCE


def test_a_client_that_comes_again_has_a_share_again(make_rig: MakeRig) -> None:
    rig, world, count = make_rig(), World(), 300
    rig.engine.challenge(make_challenges(world.state))
    client = rig.client()
    for relay in map(RelayId, (100, 101)):
        rig.engine.open_relay(relay, Address(IPV4, 0))
        rig.engine.set_client(relay, client.five_tuple, Via(1))
        rig.engine.set_client(relay, client.five_tuple, Via(1))
        assert handed_up(rig, client, refresh(world, client), count) >= REQUESTS.burst
        rig.engine.close_relay(relay)


def test_a_stream_that_is_flooded_leaves_the_others_room(make_rig: MakeRig) -> None:
    """Nobody takes anything meanwhile: as when the core has more to do than time."""
    rig = make_rig()
    floods, speaks = stream(rig, 1), stream(rig, 2)
    for number in range(10_000):
        floods[0].send(b"flood", floods[1])
        if number % AT_ONCE == 0:
            settle(rig.engine)
    for _ in range(AT_ONCE):
        speaks[0].send(b"speech", speaks[1])
    heard: list[bytes] = []

    def is_heard() -> bool:
        heard.extend(item.data for item in rig.handed_up if isinstance(item, StreamData) and item.via == Via(70, 2))
        rig.handed_up.clear()
        return len(heard) == AT_ONCE

    rig.work_until(is_heard)
    assert set(heard) == {channel_data(b"speech") + bytes(2)}


def stream(rig: Rig, path: int) -> tuple[End, Address]:
    """A peer, and the relayed address of a client behind TCP that it may write to."""
    peer, client = rig.peer(), FiveTuple(Transport.TCP, Address(IPV4, 40000 + path), Address(IPV4, 3478))
    relay = rig.relay(client, Via(70, path))
    relay.permit(IPV4)
    relay.bind(0x4000, peer.address)
    return peer, relay.address
