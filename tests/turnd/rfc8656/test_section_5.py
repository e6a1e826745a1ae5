"""RFC 8656 section 5, General Behavior: whose message it is, and which allocation it is about."""

import pytest

from fairlead.datagram import Transport
from fairlead.reasons import Reason
from fairlead.stun.attributes import (
    CHANNEL_NUMBER,
    FINGERPRINT,
    NONCE,
    REQUESTED_TRANSPORT,
    UDP,
    XOR_PEER_ADDRESS,
)
from fairlead.stun.header import Method
from tests.turnd.kit import OTHER_PEER, PEER, Client, Row, World

ON_ALLOCATIONS: dict[Method, tuple[Row, ...]] = {
    Method.REFRESH: (),
    Method.CREATE_PERMISSION: ((XOR_PEER_ADDRESS, PEER),),
    Method.CHANNEL_BIND: ((CHANNEL_NUMBER, 0x4000), (XOR_PEER_ADDRESS, PEER)),
}


@pytest.mark.parametrize("method", ON_ALLOCATIONS)
def test_5_another_user_name_gets_441(method: Method) -> None:
    """Whoever is authentic but did not make the allocation of this 5-tuple cannot touch it."""
    world = World()
    alice = Client(world)
    alice.allocated()
    bob = Client(world, "bob", address=alice.five_tuple.client)
    assert bob.ask(method, *ON_ALLOCATIONS[method]).code == 441
    assert not world.routes
    assert alice.ask(method, *ON_ALLOCATIONS[method]).code == 0


@pytest.mark.parametrize("method", ON_ALLOCATIONS)
def test_5_a_request_without_an_allocation_gets_437(method: Method) -> None:
    """Every request but Allocate needs an allocation on its 5-tuple."""
    assert Client(World()).ask(method, *ON_ALLOCATIONS[method]).code == 437


def test_5_an_indication_without_an_allocation_is_ignored() -> None:
    """A Send on a 5-tuple that has no allocation is dropped in silence."""
    world = World()
    assert not Client(world).send(PEER)
    assert world.state.counters.dropped == {Reason.NO_ALLOCATION: 1}


@pytest.mark.parametrize("transport", Transport)
def test_5_the_transport_is_part_of_the_five_tuple(transport: Transport) -> None:
    """Equal addresses over another transport are another 5-tuple, with an allocation of its own."""
    world = World()
    alice = Client(world)
    first = alice.allocated()
    again = Client(world, address=alice.five_tuple.client, transport=transport)
    if transport is Transport.UDP:
        assert again.allocate().code == 437
    else:
        assert again.allocated() != first


def test_5_a_retransmitted_allocate_gets_the_same_reply() -> None:
    """Equal transaction ids on one 5-tuple are one request: one allocation, one reply, byte by byte."""
    world = World()
    alice = Client(world)
    request = alice.signed(Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP))
    first = alice.exchange(request)
    world.advance(3)
    assert alice.exchange(request).data == first.data
    assert len(world.sockets) == 1


def test_5_a_retransmitted_refresh_is_a_refresh() -> None:
    """Processing it twice leaves what processing it once does."""
    world = World()
    alice = Client(world)
    alice.allocated()
    request = alice.signed(Method.REFRESH)
    assert alice.exchange(request).data == alice.exchange(request).data
    assert len(world.sockets) == 1


@pytest.mark.parametrize("method", [Method.CREATE_PERMISSION, Method.CHANNEL_BIND])
def test_5_a_retransmitted_permission_or_channel_is_refreshed(method: Method) -> None:
    """The second one finds what the first one installed, and succeeds as well."""
    world = World()
    alice = Client(world)
    alice.allocated()
    request = alice.signed(method, *ON_ALLOCATIONS[method])
    first = alice.exchange(request)
    routes = set(world.routes)
    assert alice.exchange(request).data == first.data
    assert first.code == 0
    assert world.routes == routes


def test_5_fingerprint_is_answered_with_fingerprint() -> None:
    """A reply carries FINGERPRINT where its request did, be it a success, an error or a challenge."""
    alice = Client(World())
    allocate = (Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP))
    for fingerprint in (True, False):
        for request in (
            alice.message(*allocate, fingerprint=fingerprint),
            alice.signed(Method.REFRESH, fingerprint=fingerprint),
            alice.signed(*allocate, fingerprint=fingerprint),
        ):
            assert alice.exchange(request).has(FINGERPRINT) is fingerprint


def test_5_a_nonce_is_good_for_no_more_than_an_hour() -> None:
    """Ours is good for ten minutes; then 438 brings the next one, and the allocation goes on."""
    world = World()
    alice = Client(world)
    alice.allocated()
    world.advance(599)
    assert alice.exchange(alice.signed(Method.REFRESH)).code == 0
    world.advance(2)
    stale = alice.exchange(alice.signed(Method.REFRESH))
    assert stale.code == 438
    alice.nonce = stale.first(NONCE)
    assert alice.exchange(alice.signed(Method.REFRESH)).code == 0


def test_5_allocations_of_one_user_name_do_not_touch_each_other() -> None:
    """One user name may have several allocations; what one permits the other does not."""
    world = World()
    first, second = Client(world), Client(world)
    first.allocated()
    second.allocated()
    first.permit(PEER)
    second.permit(OTHER_PEER)
    assert first.send(PEER)
    assert not first.send(OTHER_PEER)
    assert not second.send(PEER)
