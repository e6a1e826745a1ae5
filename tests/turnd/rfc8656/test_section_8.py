"""RFC 8656 section 8, Refreshing an Allocation."""

import pytest

from fairlead.datagram import Family
from fairlead.stun.attributes import LIFETIME, REQUESTED_ADDRESS_FAMILY
from fairlead.stun.header import Method
from tests.turnd.kit import PEER, PEER6, Client, World, raw
from turnd.protocol.ports import Census

PEERS = {Family.IPV4: PEER, Family.IPV6: PEER6}


@pytest.mark.parametrize(
    ("asked", "granted"), [(None, 600), (1, 600), (600, 600), (601, 601), (3600, 3600), (3601, 3600), (2**32 - 1, 3600)]
)
def test_8_2_the_desired_lifetime(asked: int | None, granted: int) -> None:
    """Counted from now: what was asked for, no less than the default and no more than the maximum."""
    world = World()
    alice = Client(world)
    alice.allocated((LIFETIME, 3600))
    world.advance(100)
    rows = () if asked is None else ((LIFETIME, asked),)
    assert alice.refresh(*rows).first(LIFETIME) == granted
    world.advance(granted - 0.001)
    assert world.sockets
    world.advance(0.001)
    assert not world.sockets


@pytest.mark.parametrize("family", Family)
def test_8_2_a_lifetime_of_zero_deletes(family: Family) -> None:
    """At once, with permissions and channels; the reply says 0 and is signed like any other."""
    world = World()
    alice = Client(world)
    alice.allocated(family=family)
    alice.bind(0x4000, PEERS[family])
    assert alice.refresh((LIFETIME, 0)).first(LIFETIME) == 0
    assert not world.sockets
    assert not world.routes
    assert world.census(family) == Census(free=99, used=0, held=1, foreign=0)
    assert not alice.send(PEERS[family])


def test_8_2_a_retransmitted_deletion_gets_437() -> None:
    """Which the client takes for success; and no other allocation suffers."""
    world = World()
    alice = Client(world)
    Client(world).allocated()
    alice.allocated()
    request = alice.signed(Method.REFRESH, (LIFETIME, 0))
    assert alice.exchange(request).code == 0
    assert alice.exchange(request).code == 437
    assert len(world.sockets) == 1


def test_8_2_a_deleted_allocations_five_tuple_is_free() -> None:
    """The client may allocate again at once, and begins without permissions."""
    alice = Client(World())
    alice.allocated()
    alice.permit(PEER)
    alice.refresh((LIFETIME, 0))
    alice.allocated()
    assert not alice.send(PEER)


@pytest.mark.parametrize("lifetime", [None, 0, 600])
@pytest.mark.parametrize(("family", "other"), [(Family.IPV4, 2), (Family.IPV6, 1), (Family.IPV4, 3), (Family.IPV4, 0)])
def test_8_2_another_address_family_gets_443(family: Family, other: int, lifetime: int | None) -> None:
    """Nothing is refreshed or deleted for a family that the allocation does not have."""
    world = World()
    alice = Client(world)
    alice.allocated(family=family)
    world.advance(100)
    rows = () if lifetime is None else ((LIFETIME, lifetime),)
    assert alice.refresh((REQUESTED_ADDRESS_FAMILY, other), *rows).code == 443
    world.advance(499.999)
    assert world.sockets
    world.advance(0.001)
    assert not world.sockets


@pytest.mark.parametrize("family", Family)
def test_8_2_its_own_address_family_may_be_named(family: Family) -> None:
    """Then it is refreshed as without the name."""
    alice = Client(World())
    alice.allocated(family=family)
    assert alice.refresh((REQUESTED_ADDRESS_FAMILY, family)).first(LIFETIME) == 600


@pytest.mark.parametrize("value", [b"", b"\0\0\0", b"\0\0\0\0\0"])
def test_8_2_a_malformed_lifetime(value: bytes) -> None:
    """It refreshes nothing and deletes nothing."""
    world = World()
    alice = Client(world)
    alice.allocated()
    assert alice.refresh(raw(LIFETIME, value)).code == 400
    assert world.sockets


def test_8_2_refresh_prolongs_neither_permissions_nor_channels() -> None:
    """They have times of their own."""
    world = World()
    alice = Client(world)
    alice.allocated((LIFETIME, 3600))
    alice.bind(0x4000, PEER)
    world.advance(299.999)
    alice.refresh((LIFETIME, 3600))
    assert alice.send(PEER)
    world.advance(0.001)
    assert not alice.send(PEER)
    world.advance(300)
    assert not world.routes
    assert world.sockets
