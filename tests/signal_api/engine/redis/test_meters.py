"""What is counted of Redis."""

from prometheus_client.parser import text_string_to_metric_families

from fairlead.metrics import Metrics
from signal_api.engine.redis.store import PATIENCE
from tests.redis_server import RedisServer
from tests.signal_api.cluster import Cluster, cluster_on
from tests.waiting import eventually


def _read(metrics: Metrics) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.expose()[1].decode())
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


async def test_a_scrape_says_whether_redis_answers_and_how_fast(redis_server: RedisServer) -> None:
    async with cluster_on(redis_server.url, "t") as cluster:
        node = await cluster.node(patience=PATIENCE)
        await node.redis.load("r")
        await eventually(lambda: _read(node.metrics)["signal_redis_calls_total ok"] >= 2)
        seen = _read(node.metrics)
        assert (seen["signal_redis_up"], seen["signal_redis_nodes alive"], seen["signal_redis_stream_lag"]) == (1, 1, 0)
        assert seen["signal_redis_call_seconds_count"] == seen["signal_redis_calls_total ok"]
        assert seen["signal_redis_call_seconds_bucket 0.7"] == seen["signal_redis_call_seconds_count"]
        redis_server.kill()
        await eventually(lambda: _read(node.metrics)["signal_redis_up"] == 0)
        redis_server.start()
        await eventually(lambda: _read(node.metrics)["signal_redis_epochs_total"] == 1)
        assert _read(node.metrics)["signal_redis_up"] == 1


async def test_takeovers_are_counted_by_how_much_came_along(cluster: Cluster) -> None:
    one, other = await cluster.node(), await cluster.node()
    alice, bob = await one.enter(), await one.enter()
    takeovers = other.redis._store.meters.takeovers
    await other.resume(alice, f"{alice.welcome['epoch']}.1")
    assert takeovers == {("handed_over",): 1, ("read",): 0, ("renewed",): 0}
    await one.die()
    await other.resume(bob, f"{bob.welcome['epoch']}.1")
    assert takeovers == {("handed_over",): 1, ("read",): 1, ("renewed",): 0}
