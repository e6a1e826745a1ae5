"""Nodes that come, go, and are forgotten."""

import asyncio

from signal_api.protocol.refusals import CloseCode
from tests.redis_server import RedisServer
from tests.signal_api.cluster import Cluster
from tests.waiting import eventually


async def test_the_sessions_of_a_node_that_goes_in_peace_are_taken_over_soon(
    cluster: Cluster, one_redis: RedisServer, redis_prefix: str
) -> None:
    one, other = await cluster.node(), await cluster.node()
    alice = await one.enter(rooms=["r"])
    sid = alice.welcome["sid"]
    await eventually(lambda: len(alice.line.frames) == 2)
    await one.stop()
    await eventually(lambda: other.hub.roster.get(sid) is not None)
    await eventually(lambda: one_redis.command("HLEN", f"{redis_prefix}:nodes") == b":1\r\n")
    again = await other.resume(alice, f"{alice.welcome['epoch']}.2")
    assert again.welcome["resumed"]


async def test_a_node_that_was_taken_for_dead_lets_its_clients_go(
    cluster: Cluster, one_redis: RedisServer, redis_prefix: str
) -> None:
    one, other = await cluster.node(), await cluster.node()
    alice = await one.enter()
    one.redis._tasks[0].cancel()  # It does not beat any more, and hears all the same.
    await eventually(lambda: other.hub.roster.get(alice.welcome["sid"]) is not None)
    assert alice.line.closed is CloseCode.REBALANCE
    assert one.hub.roster.get(alice.welcome["sid"]) is None


async def test_a_node_that_redis_forgot_begins_anew_under_another_name(
    cluster: Cluster, one_redis: RedisServer, redis_prefix: str
) -> None:
    node = await cluster.node()
    alice = await node.enter(rooms=["r"])
    before = node.redis._store.node
    await eventually(lambda: "r" in alice.client.session.rooms)
    keys = one_redis.command("KEYS", f"{redis_prefix}:*").split(b"\r\n")
    for key in (key.decode() for key in keys if key.startswith(redis_prefix.encode())):
        one_redis.command("DEL", key)
    await asyncio.wait_for(alice.line.ended.wait(), 20)
    assert alice.line.closed is CloseCode.REBALANCE
    await eventually(lambda: node.redis._store.node != before and node.redis._nodes._lost is None)
    again = await node.resume(alice, f"{alice.welcome['epoch']}.2")
    assert (again.welcome["resumed"], again.welcome["sid"]) == (False, alice.welcome["sid"])
    await eventually(lambda: "joined" in [frame["type"] for frame in again.line.frames])
    assert (await node.redis.load("r")).room is not None
