"""RFC 8656 section 12, Channels: which numbers, which peers, how long."""

from typing import Any

import pytest

from fairlead.datagram import Address, Family
from fairlead.stun.attributes import CHANNEL_NUMBER, LIFETIME, XOR_PEER_ADDRESS
from fairlead.stun.header import Method
from tests.turnd.kit import OTHER_PEER, PEER, PEER6, Client, Row, World, raw
from turnd.protocol.settings import ChannelRange
from turnd.routes import Channel, Permission, Ports, RelayId

RELAY = RelayId(1)


def allocated(family: Family = Family.IPV4, **settings: Any) -> tuple[World, Client]:
    """Alice, with an allocation that outlives what is tried on it."""
    world = World(**settings)
    alice = Client(world)
    alice.allocated((LIFETIME, 3600), family=family)
    return world, alice


def test_12_a_channel_lives_600_seconds() -> None:
    """To the second."""
    world, alice = allocated()
    alice.bind(0x4000, PEER)
    world.advance(599.999)
    assert world.routes == {Channel(RELAY, 0x4000, PEER)}
    world.advance(0.001)
    assert not world.routes


def test_12_rebinding_to_the_same_peer_starts_the_600_seconds_anew() -> None:
    """And the 300 seconds of the permission."""
    world, alice = allocated()
    alice.bind(0x4000, PEER)
    world.advance(500)
    assert alice.bind(0x4000, PEER).code == 0
    world.advance(299.999)
    assert len(world.routes) == 2
    world.advance(300)
    assert world.routes == {Channel(RELAY, 0x4000, PEER)}
    world.advance(0.001)
    assert not world.routes


def test_12_create_permission_does_not_refresh_the_channel() -> None:
    """Only ChannelBind does."""
    world, alice = allocated()
    alice.bind(0x4000, PEER)
    world.advance(500)
    alice.permit(PEER)
    world.advance(100)
    assert world.routes == {Permission(RELAY, PEER.host, Ports.ANY)}


def test_12_channels_belong_to_one_allocation() -> None:
    """Two allocations use the same number for different peers, and the same peer under different numbers."""
    world = World()
    first, second = Client(world), Client(world)
    first.allocated()
    second.allocated()
    assert [first.bind(0x4000, PEER).code, second.bind(0x4000, OTHER_PEER).code] == [0, 0]
    assert second.bind(0x4001, PEER).code == 0


def test_12_an_unbound_number_and_an_unbound_peer_can_be_bound_to_others() -> None:
    """After the channel has ended, both are free."""
    world, alice = allocated()
    alice.bind(0x4000, PEER)
    world.advance(600)
    assert alice.bind(0x4000, OTHER_PEER).code == 0
    assert alice.bind(0x4001, PEER).code == 0


@pytest.mark.parametrize(
    "rows",
    [
        (),
        ((CHANNEL_NUMBER, 0x4000),),
        ((XOR_PEER_ADDRESS, PEER),),
        (raw(CHANNEL_NUMBER, b"\x40\0"), (XOR_PEER_ADDRESS, PEER)),
        ((CHANNEL_NUMBER, 0x4000), raw(XOR_PEER_ADDRESS, b"")),
    ],
)
def test_12_2_number_and_peer_must_be_there_and_valid(rows: tuple[Row, ...]) -> None:
    """ChannelBind asks for a channel and a peer."""
    world, alice = allocated()
    assert alice.ask(Method.CHANNEL_BIND, *rows).code == 400
    assert not world.routes


@pytest.mark.parametrize(
    ("channel_range", "good", "bad"),
    [
        (ChannelRange.RFC8656, [0x4000, 0x4ABC, 0x4FFF], [0x0000, 0x3FFF, 0x5000, 0x7FFF, 0x8000, 0xFFFF]),
        (ChannelRange.WIDE, [0x4000, 0x5000, 0x7FFF], [0x0000, 0x3FFF, 0x8000, 0xFFFF]),
    ],
)
def test_12_2_the_range_of_numbers(channel_range: ChannelRange, good: list[int], bad: list[int]) -> None:
    """0x4000 to 0x4FFF; with the wide range, for clients of RFC 5766, up to 0x7FFF."""
    _, alice = allocated(channel_range=channel_range)
    for number in bad:
        assert alice.bind(number, PEER).code == 400
    for place, number in enumerate(good):
        assert alice.bind(number, Address(PEER.host, 9000 + place)).code == 0


def test_12_2_a_number_that_is_bound_to_another_peer() -> None:
    """Neither another host nor another port; and what was bound stays bound."""
    world, alice = allocated()
    alice.bind(0x4000, PEER)
    routes = set(world.routes)
    assert alice.bind(0x4000, OTHER_PEER).code == 400
    assert alice.bind(0x4000, Address(PEER.host, PEER.port + 1)).code == 400
    assert world.routes == routes


def test_12_2_a_peer_that_is_bound_to_another_number() -> None:
    """One transport address has one channel; another port is another transport address."""
    _, alice = allocated()
    alice.bind(0x4000, PEER)
    assert alice.bind(0x4001, PEER).code == 400
    assert alice.bind(0x4001, Address(PEER.host, PEER.port + 1)).code == 0


@pytest.mark.parametrize(
    ("family", "peer"), [(Family.IPV4, PEER6), (Family.IPV6, PEER), (Family.IPV6, Address("10.0.0.1", 9000))]
)
def test_12_2_another_address_family_gets_443(family: Family, peer: Address) -> None:
    """The relayed address cannot reach it, be it allowed or not."""
    world, alice = allocated(family)
    assert alice.bind(0x4000, peer).code == 443
    assert not world.routes


def test_12_2_a_forbidden_peer_gets_403() -> None:
    """The policy is asked here as well, and neither channel nor permission is installed."""
    world, alice = allocated()
    assert alice.bind(0x4000, Address("10.0.0.1", 9000)).code == 403
    assert not world.routes


def test_12_2_more_channels_than_there_may_be() -> None:
    """508; those that are there can be refreshed."""
    _, alice = allocated(max_channels=1)
    assert alice.bind(0x4000, PEER).code == 0
    assert alice.bind(0x4001, OTHER_PEER).code == 508
    assert alice.bind(0x4000, PEER).code == 0


def test_12_2_more_permissions_than_there_may_be() -> None:
    """508, and no channel without a permission; a second port of a permitted host needs no further one."""
    world, alice = allocated(max_permissions=1)
    alice.permit(PEER)
    assert alice.bind(0x4000, OTHER_PEER).code == 508
    assert len(world.routes) == 1
    assert alice.bind(0x4000, PEER).code == 0


def test_12_2_channel_bind_installs_the_permission() -> None:
    """The peer's host is permitted with it, for all its ports."""
    world, alice = allocated()
    assert alice.bind(0x4000, PEER).code == 0
    assert world.routes == {Permission(RELAY, PEER.host, Ports.ANY), Channel(RELAY, 0x4000, PEER)}
    assert alice.send(Address(PEER.host, 1))


def test_12_2_the_same_binding_again_is_no_error() -> None:
    """Also by another request, not only by a retransmission."""
    world, alice = allocated()
    alice.bind(0x4000, PEER)
    routes = set(world.routes)
    assert alice.bind(0x4000, PEER).code == 0
    assert world.routes == routes
