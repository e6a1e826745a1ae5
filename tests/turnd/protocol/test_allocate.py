"""How an Allocate meets the world: ports that others have, sockets that there are none of, quotas, drain."""

import pytest

from fairlead.datagram import Address, Family
from fairlead.stun.attributes import EVEN_PORT, LIFETIME, RESERVATION_TOKEN
from tests.turnd.kit import Client, Row, World
from turnd.protocol import effects as do
from turnd.protocol.ports import FOREIGN_SECONDS, LEAST_REST, Census
from turnd.protocol.quotas import Limits, QuotaScope
from turnd.protocol.settings import RelayHost

#: What an Allocate may ask for, and how many ports it then takes.
ASKS: list[tuple[tuple[Row, ...], int]] = [((), 1), (((EVEN_PORT, False),), 1), (((EVEN_PORT, True),), 2)]


def test_the_client_hears_of_success_when_there_is_a_socket() -> None:
    world = World()
    alice = Client(world)
    alice.refresh()
    world.done.clear()
    alice.allocated()
    assert [type(effect) for effect in world.done] == [
        do.OpenRelaySocket, do.AttachClient, do.SetDeadline, do.Send, do.Allocated,
    ]  # fmt: skip


def test_nothing_is_promised_until_the_second_socket_is_there_as_well() -> None:
    world = World()
    alice = Client(world)
    alice.refresh()
    world.done.clear()
    alice.allocated((EVEN_PORT, True))
    assert [type(effect) for effect in world.done] == [
        do.OpenRelaySocket, do.OpenRelaySocket, do.AttachClient, do.SetDeadline, do.Send, do.Allocated,
    ]  # fmt: skip


def test_the_operator_is_told_of_an_allocation() -> None:
    world = World()
    alice = Client(world)
    relayed = alice.allocated()
    told = [effect for effect in world.done if isinstance(effect, do.Allocated)]
    assert [(effect.username, effect.five_tuple, effect.relayed) for effect in told] == [
        ("alice", alice.five_tuple, relayed)
    ]
    assert world.state.counters.allocations_opened == {alice.five_tuple.transport: 1}


def test_behind_a_nat_clients_are_told_the_address_outside() -> None:
    world = World(hosts={Family.IPV4: RelayHost("10.0.0.5", "20.9.9.9")})
    relayed = Client(world).allocated()
    assert relayed.host == "20.9.9.9"
    assert list(world.sockets.values()) == [Address("10.0.0.5", relayed.port)]


@pytest.mark.parametrize(("asked", "taken"), ASKS)
def test_a_port_that_another_program_has_costs_one_more_try(asked: tuple[Row, ...], taken: int) -> None:
    world = World(ports=(50000, 50009))
    world.foreign_ports = set(range(50000, 50008))
    relayed = Client(world).allocated(*asked)
    assert relayed.port in (50008, 50009)
    assert world.census().used == taken
    assert world.census().foreign == len(world.foreign_ports.intersection(opened(world))) > 0


def test_the_first_port_and_sixteen_others_are_tried() -> None:
    world = World(ports=(50000, 50099))
    world.foreign_ports = set(range(50000, 50100))
    assert Client(world).allocate().code == 508
    assert len(set(opened(world))) == 17
    assert world.census() == Census(free=83, used=0, held=0, foreign=17)


def test_a_foreign_port_is_left_alone_for_a_while() -> None:
    world = World(ports=(50000, 50000))
    world.foreign_ports = {50000}
    assert Client(world).allocate().code == 508
    world.foreign_ports.clear()
    world.advance(FOREIGN_SECONDS - 0.001)
    assert Client(world).allocate().code == 508
    world.advance(0.001)
    assert Client(world).allocate().code == 0


def test_of_a_pair_with_a_foreign_half_the_other_half_is_closed() -> None:
    """The even port is bound, the odd one is somebody else's: both go back, and another pair is tried."""
    world = World(ports=(50000, 50003))
    world.foreign_ports = {50001, 50003}
    assert Client(world).allocate((EVEN_PORT, True)).code == 508
    assert world.census() == Census(free=0, used=0, held=2, foreign=2)
    assert sorted(opened(world)) == [50000, 50001, 50002, 50003]


@pytest.mark.parametrize(("asked", "taken"), ASKS)
def test_a_machine_without_sockets_costs_nothing(asked: tuple[Row, ...], taken: int) -> None:
    """508 at once, without a second try, and everything goes back: the ports, the quota."""
    world = World(limits=Limits(allocations=taken), port_hold=0)
    world.gives_sockets = False
    for _ in range(3):
        world.done.clear()
        assert Client(world).allocate(*asked).code == 508
        assert len(opened(world)) == 1
        assert world.census() == Census(free=100, used=0, held=0, foreign=0)
    world.gives_sockets = True
    assert Client(world).allocate(*asked).code == 0


@pytest.mark.parametrize(("asked", "taken"), ASKS)
def test_a_machine_without_sockets_is_not_on_its_users_account(asked: tuple[Row, ...], taken: int) -> None:
    """What was never bound has nothing to rest from, and the log has the system's own words."""
    world = World(limits=Limits(allocations_per_user=taken, burst=1), port_hold=30)
    client, world.gives_sockets = Client(world), False
    assert {client.allocate(*asked).code for _ in range(20)} == {508}
    assert world.census() == Census(free=100, used=0, held=0, foreign=0)
    assert "too many open files" in next(
        row.reason for row in world.done if isinstance(row, do.Refused) and row.code == 508
    )
    world.gives_sockets = True
    assert client.allocate(*asked).code == 0


@pytest.mark.parametrize(("asked", "taken"), ASKS)
def test_a_full_pool_gives_the_quota_back(asked: tuple[Row, ...], taken: int) -> None:
    world = World(ports=(50000, 50001), limits=Limits(allocations_per_user=2 + taken))
    for _ in range(2):
        Client(world, "bob").allocated()
    assert Client(world).allocate(*asked).code == 508
    assert world.state.quotas.of_user("alice") == 0


def test_a_freed_port_rests_before_its_next_owner() -> None:
    world = World(ports=(50000, 50000), port_hold=30)
    alice = Client(world)
    alice.allocated()
    alice.refresh((LIFETIME, 0))
    assert world.census() == Census(free=0, used=0, held=1, foreign=0)
    assert alice.allocate().code == 508
    world.advance(30)
    assert alice.allocate().code == 0


def test_a_reserved_port_counts_as_an_allocation() -> None:
    """Whoever has room for one allocation cannot have a second port with it, and gets neither."""
    world = World(limits=Limits(allocations_per_user=1))
    assert Client(world).allocate((EVEN_PORT, True)).code == 486
    assert world.state.quotas.of_user("alice") == 0
    assert world.state.counters.quota_rejections == {QuotaScope.USER: 1}


def test_a_reservations_quota_goes_to_the_allocation_that_takes_it() -> None:
    world = World(limits=Limits(allocations_per_user=2))
    first, second = Client(world), Client(world)
    token = first.allocate((EVEN_PORT, True)).first(RESERVATION_TOKEN)
    assert second.allocate((RESERVATION_TOKEN, token)).code == 0
    assert world.state.quotas.of_user("alice") == 2
    world.advance(29)
    second.refresh((LIFETIME, 0))
    assert world.state.quotas.of_user("alice") == 1
    world.advance(600)
    assert len(world.state.quotas) == 0


def test_a_quota_counts_again_what_has_ended() -> None:
    world = World(limits=Limits(allocations_per_source=1))
    alice = Client(world)
    alice.allocated()
    assert Client(world, "bob").allocate().code == 486
    alice.refresh((LIFETIME, 0))
    assert Client(world, "bob").allocate().code == 0


@pytest.mark.parametrize("asked", [asked for asked, _ in ASKS])
def test_a_draining_server_takes_nobody_new(asked: tuple[Row, ...]) -> None:
    """And those that it has live on."""
    world = World()
    alice = Client(world)
    alice.allocated()
    world.state.draining = True
    assert Client(world).allocate(*asked).code == 508
    assert alice.refresh().code == 0
    assert world.census().used == 1


def test_a_draining_server_gives_no_reserved_port_away() -> None:
    world = World()
    token = Client(world).allocate((EVEN_PORT, True)).first(RESERVATION_TOKEN)
    world.state.draining = True
    assert Client(world).allocate((RESERVATION_TOKEN, token)).code == 508
    world.advance(30)
    assert world.census().used == 1


def opened(world: World) -> list[int]:
    """The ports that the core asked for, in order."""
    return [effect.address.port for effect in world.done if isinstance(effect, do.OpenRelaySocket)]


def test_one_credential_does_not_empty_the_pool_by_turns() -> None:
    """Allocate and Refresh(0), again and again: the quota is never used up, and every port is left to rest."""
    world = World(ports=(50000, 50099), limits=Limits(allocations_per_user=2, burst=1))
    mallory = Client(world)
    turns = 0
    while (code := mallory.allocate().code) == 0:
        mallory.refresh((LIFETIME, 0))
        turns += 1
    assert (code, turns) == (486, 12)
    assert world.census().free == 88
    assert world.state.counters.quota_rejections == {QuotaScope.USER: 1}
    assert Client(world, "bob").allocate().code == 0
    world.advance(30)
    assert mallory.allocate().code == 0


def test_who_reconnects_is_not_locked_out_by_ports_that_rest() -> None:
    world = World(limits=Limits(allocations_per_user=10, burst=0))
    for _ in range(10):
        clients = [Client(world) for _ in range(4)]
        assert [client.allocate().code for client in clients] == [0, 0, 0, 0]
        for client in clients:
            client.refresh((LIFETIME, 0))
        world.advance(10)


def test_an_empty_pool_lends_ports_that_have_rested_for_a_moment() -> None:
    world = World(ports=(50000, 50003), port_hold=30)
    clients = [Client(world) for _ in range(4)]
    for client in clients:
        client.allocated()
        client.refresh((LIFETIME, 0))
    bob = Client(world, "bob")
    assert bob.allocate().code == 508
    world.advance(LEAST_REST)
    assert bob.allocate().code == 0
