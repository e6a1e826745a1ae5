"""RFC 8656 section 6, Allocations: what an allocation is made of."""

from fairlead.datagram import Family
from fairlead.stun.attributes import LIFETIME
from tests.turnd.kit import PEER, USERS, Client, World


def test_6_relayed_addresses_are_unique() -> None:
    """As many allocations as there are ports have as many relayed addresses; a further one has none."""
    world = World(ports=(50000, 50019))
    relayed = {Client(world).allocated() for _ in range(20)}
    assert {address.port for address in relayed} == set(range(50000, 50020))
    assert Client(world).allocate().code == 508


def test_6_a_port_belongs_to_an_address_not_to_the_machine() -> None:
    """Both families have all ports."""
    world = World(ports=(50000, 50000))
    assert Client(world).allocated(family=Family.IPV4).port == Client(world).allocated(family=Family.IPV6).port


def test_6_the_key_is_kept_and_not_the_password() -> None:
    """No password is found in anything that the core remembers of a living allocation."""
    world = World()
    alice = Client(world)
    alice.allocated()
    allocation = world.state.allocations.by_five_tuple[alice.five_tuple]
    assert allocation.account.key == alice.key
    assert USERS["alice"] not in repr(allocation)
    assert USERS["alice"] not in repr(vars(world.state.authenticator))


def test_6_an_allocation_lives_600_seconds_by_default() -> None:
    """It is there until the last moment, and at that moment it is gone, with all that was its own."""
    world = World()
    alice = Client(world)
    assert alice.allocate().first(LIFETIME) == 600
    alice.permit(PEER)
    alice.bind(0x4000, PEER)
    world.advance(599.999)
    assert world.sockets
    world.advance(0.001)
    assert not world.sockets
    assert not world.routes


def test_6_data_does_not_refresh_an_allocation() -> None:
    """Only Refresh does: whoever sends and never refreshes is gone after its lifetime."""
    world = World()
    alice = Client(world)
    alice.allocated()
    for _ in range(5):
        world.advance(100)
        alice.permit(PEER)
        assert alice.send(PEER)
    world.advance(100)
    assert not world.sockets
