"""The books: look-ups, and one deadline for each thing that ends by itself."""

from fairlead.datagram import Family
from tests.turnd.kit import OTHER_PEER, PEER, PEER6, Client, World
from turnd.protocol.allocations import Allocation, Allocations
from turnd.routes import Channel, Permission, Ports, RelayId

RELAY = RelayId(1)


def made() -> tuple[Allocations, Allocation]:
    """The books of a world with one allocation, made at 1000."""
    world = World()
    alice = Client(world)
    alice.allocated()
    return world.state.allocations, world.state.allocations.by_five_tuple[alice.five_tuple]


def test_ids_are_never_used_again() -> None:
    books = Allocations()
    assert [books.new_id(), books.new_id(), books.new_id()] == [1, 2, 3]
    assert Allocations(last=7).new_id() == 8
    assert [books.new_relay_id(), books.new_relay_id()] == [1, 2]


def test_an_allocation_is_found_by_id_and_by_five_tuple() -> None:
    books, allocation = made()
    assert books.by_id == {allocation.id: allocation}
    assert books.by_five_tuple == {allocation.five_tuple: allocation}
    assert len(books) == 1
    books.remove(allocation)
    assert not len(books)
    assert not books.by_five_tuple


def test_what_is_installed_returns_the_route_for_the_engine() -> None:
    books, allocation = made()
    permission = Permission(RELAY, PEER.host, Ports.ANY)
    assert books.permit(allocation, PEER.host, Ports.ANY, 1000) == (permission, 1300)
    assert books.bind(allocation, 0x4000, PEER, 1000) == (Channel(RELAY, 0x4000, PEER), 1600)
    assert books.routes(1000) == {permission, Channel(RELAY, 0x4000, PEER)}
    assert books.forbid(allocation, PEER.host) == permission
    assert books.unbind(allocation, 0x4000) == Channel(RELAY, 0x4000, PEER)
    assert not books.routes(1000)


def test_routes_are_those_of_the_moment_and_not_of_the_last_sweep() -> None:
    books, allocation = made()
    books.permit(allocation, PEER.host, Ports.ANY, 1000)
    books.bind(allocation, 0x4000, PEER, 1100)
    lengths = [len(books.routes(moment)) for moment in (1299.9, 1300, 1599.9, 1600, 1700)]
    assert lengths == [2, 1, 1, 0, 0]


def test_each_living_thing_has_one_deadline() -> None:
    books, allocation = made()
    for moment in (1000, 1010):
        books.permit(allocation, PEER.host, Ports.ANY, moment)
        books.permit(allocation, OTHER_PEER.host, Ports.ANY, moment)
        books.bind(allocation, 0x4000, PEER, moment)
        books.extend(allocation, moment + 600)
    assert len(books.deadlines) == 4
    assert books.deadlines.next() == 1310
    books.forbid(allocation, PEER.host)
    books.unbind(allocation, 0x4000)
    assert len(books.deadlines) == 2
    books.remove(allocation)
    assert not len(books.deadlines)


def test_an_unbound_peer_is_free_for_another_number() -> None:
    books, allocation = made()
    books.bind(allocation, 0x4000, PEER, 1000)
    assert allocation.number_by_peer == {PEER: 0x4000}
    books.unbind(allocation, 0x4000)
    assert not allocation.number_by_peer


def test_the_family_is_that_of_the_relayed_address() -> None:
    world = World()
    for family in Family:
        Client(world).allocated(family=family)
    assert [row.family for row in world.state.allocations.by_id.values()] == list(Family)
    assert PEER6.family is Family.IPV6
