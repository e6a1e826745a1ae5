"""RFC 8656 section 9, Permissions: to whom, and for how long."""

from fairlead.datagram import Address
from fairlead.stun.attributes import LIFETIME
from tests.turnd.kit import OTHER_PEER, PEER, Client, World
from turnd.routes import Channel, Permission, Ports, RelayId


def allocated() -> tuple[World, Client]:
    """Alice, with an allocation that outlives what is tried on it."""
    world = World()
    alice = Client(world)
    alice.allocated((LIFETIME, 3600))
    return world, alice


def test_9_a_permission_lives_300_seconds() -> None:
    """To the second: it is there until then, and then it is not; nobody has to look for that to happen."""
    world, alice = allocated()
    alice.permit(PEER)
    world.advance(299.999)
    assert alice.send(PEER)
    assert world.routes == {Permission(RelayId(1), PEER.host, Ports.ANY)}
    world.advance(0.001)
    assert not world.routes
    assert not alice.send(PEER)


def test_9_create_permission_starts_the_300_seconds_anew() -> None:
    """Counted from the request that refreshes it."""
    world, alice = allocated()
    alice.permit(PEER)
    world.advance(200)
    alice.permit(PEER)
    world.advance(299.999)
    assert alice.send(PEER)
    world.advance(0.001)
    assert not alice.send(PEER)


def test_9_channel_bind_and_create_permission_refresh_the_same_permission() -> None:
    """They may be mixed: what one installs the other refreshes."""
    world, alice = allocated()
    alice.permit(PEER)
    world.advance(200)
    alice.bind(0x4000, PEER)
    world.advance(200)
    assert alice.send(PEER)
    alice.permit(PEER)
    world.advance(299.999)
    assert alice.send(PEER)


def test_9_a_channel_outlives_its_permission() -> None:
    """Only the permission ends after 300 seconds; the channel waits for the next one."""
    world, alice = allocated()
    alice.bind(0x4000, PEER)
    world.advance(300)
    assert world.routes == {Channel(RelayId(1), 0x4000, PEER)}
    alice.permit(PEER)
    assert len(world.routes) == 2


def test_9_a_permission_is_for_a_host_and_not_for_a_port() -> None:
    """Whatever port stood in the request."""
    _, alice = allocated()
    alice.permit(Address(PEER.host, 0))
    assert alice.send(PEER)
    assert alice.send(Address(PEER.host, 1))
    assert not alice.send(OTHER_PEER)


def test_9_permissions_end_with_their_allocation() -> None:
    """A new allocation on the same 5-tuple does not find those of the last one."""
    world, alice = allocated()
    alice.refresh((LIFETIME, 0))
    alice.allocated()
    alice.permit(PEER)
    world.advance(250)
    alice.permit(PEER)
    world.advance(350)
    assert not world.routes
    alice.allocated()
    assert not alice.send(PEER)
