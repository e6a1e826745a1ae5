"""Limits of bandwidth: told with each allocation, and again when they change."""

from dataclasses import replace

from fairlead.buckets import Rate
from tests.turnd.kit import Client, World
from turnd.protocol import effects as do
from turnd.protocol.bandwidth_change import apply_bandwidth, limit_allocation
from turnd.routes import Bandwidth, RelayId

SLOW = Bandwidth(Rate(1000, 65536), Rate(4000, 65536))


def change(world: World, bandwidth: Bandwidth) -> tuple[do.Effect, ...]:
    before = world.state.settings.bandwidth
    world.state.settings = replace(world.state.settings, bandwidth=bandwidth)
    return apply_bandwidth(world.state, before)


def test_an_allocation_is_limited_before_its_client_is_there() -> None:
    world = World(bandwidth=SLOW)
    Client(world).allocated()
    *_, limit, attached, _, _, _ = world.done
    assert limit == do.Limit(RelayId(1), "alice", SLOW)
    assert isinstance(attached, do.AttachClient)


def test_without_limits_the_engine_is_not_bothered() -> None:
    world = World()
    Client(world).allocated()
    assert not [effect for effect in world.done if isinstance(effect, do.Limit)]


def test_other_limits_count_for_what_is_alive() -> None:
    world = World()
    Client(world).allocated()
    assert change(world, SLOW) == (do.Limit(RelayId(1), "alice", SLOW),)
    assert change(world, SLOW) == ()
    assert change(world, Bandwidth()) == (do.Limit(RelayId(1), "alice", Bandwidth()),)


def test_one_allocation_may_be_bounded_further_and_stays_so() -> None:
    world = World()
    Client(world).allocated()
    (row,) = world.state.allocations.by_id.values()

    def limit(bandwidth: int | None) -> list[Bandwidth]:
        effects = limit_allocation(world.state, row, bandwidth)
        return [effect.bandwidth for effect in effects if isinstance(effect, do.Limit)]

    assert limit(500) == [Bandwidth(Rate(500, 65536))]
    assert limit(500) == []
    assert limit(1_000_000) == [Bandwidth(Rate(1_000_000, 1_000_000))]
    (told,) = change(world, SLOW)
    assert isinstance(told, do.Limit)
    assert told.bandwidth == SLOW, "what the settings allow is all there is"
    assert limit(500) == [Bandwidth(Rate(500, 65536), SLOW.user)]
    assert limit(None) == [SLOW]
