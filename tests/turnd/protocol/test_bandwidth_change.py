"""Limits of bandwidth: told with each allocation, and again when they change."""

from dataclasses import replace

from fairlead.buckets import Rate
from tests.turnd.kit import Client, World
from turnd.protocol import effects as do
from turnd.protocol.bandwidth_change import apply_bandwidth
from turnd.routes import Bandwidth, RelayId

SLOW = Bandwidth(Rate(1000, 65536), Rate(4000, 65536))


def change(world: World, bandwidth: Bandwidth) -> tuple[do.Effect, ...]:
    before = world.state.settings.bandwidth
    world.state.settings = replace(world.state.settings, bandwidth=bandwidth)
    return apply_bandwidth(world.state, before)


def test_an_allocation_is_limited_before_its_client_is_there() -> None:
    world = World(bandwidth=SLOW)
    Client(world).allocated()
    *_, limit, attached, _, _ = world.done
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
