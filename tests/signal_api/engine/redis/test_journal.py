"""What Redis has of a session follows what the session is."""

from signal_api.luggage import Luggage
from tests.redis_server import RedisServer
from tests.signal_api.cluster import Cluster, RedisNode
from tests.signal_api.transports.web import eventually


def _length(server: RedisServer, prefix: str, sid: str) -> bytes:
    return server.command("LLEN", f"{prefix}:l:{sid}")


async def _kept(node: RedisNode, sid: str) -> Luggage | None:
    return await node.redis.vault.peek(sid)


async def test_the_log_in_redis_is_trimmed_by_what_the_client_has(
    cluster: Cluster, one_redis: RedisServer, redis_prefix: str
) -> None:
    node = await cluster.node()
    alice, bob = await node.enter(rooms=["r"]), await node.enter(rooms=["r"])
    sid = alice.welcome["sid"]
    for number in range(5):
        await bob.say("message", room="r", to="*", data=number)
    await eventually(lambda: len(alice.line.frames) == 8)
    await eventually(lambda: _length(one_redis, redis_prefix, sid) == b":8\r\n")
    await alice.say("ping", ack=6)
    await eventually(lambda: _length(one_redis, redis_prefix, sid) == b":2\r\n")
    kept = await _kept(node, sid)
    assert kept is not None
    assert kept.seq == 8


async def test_an_ended_session_leaves_nothing(cluster: Cluster, one_redis: RedisServer, redis_prefix: str) -> None:
    node = await cluster.node()
    alice = await node.enter(rooms=["r"])
    sid = alice.welcome["sid"]
    await eventually(lambda: _length(one_redis, redis_prefix, sid) == b":2\r\n")
    node.hub.end(alice.client)
    await eventually(lambda: one_redis.command("EXISTS", f"{redis_prefix}:s:{sid}") == b":0\r\n")
    assert one_redis.command("KEYS", f"{redis_prefix}:?:{sid}") == b"*0\r\n"
    assert one_redis.command("KEYS", f"{redis_prefix}:r:*") == b"*0\r\n"


async def test_a_stream_is_no_longer_than_what_is_not_kept_yet(
    cluster: Cluster, one_redis: RedisServer, redis_prefix: str
) -> None:
    node = await cluster.node()
    alice, bob = await node.enter(rooms=["r"]), await node.enter(rooms=["r"])
    for number in range(300):
        await bob.say("message", room="r", to="*", data=number)
    await eventually(lambda: len(alice.line.frames) >= 300)
    key = f"{redis_prefix}:n:{node.redis._store.node}"
    last = one_redis.command("HGET", key, "last")
    await eventually(lambda: one_redis.command("HGET", key, "at") == last)


async def test_what_was_written_and_not_answered_is_not_written_twice(cluster: Cluster) -> None:
    node, other = await cluster.node(), await cluster.node()
    alice, bob = await node.enter(rooms=["r"]), await node.enter(rooms=["r"])
    for number in range(4):
        await bob.say("message", room="r", to="*", data=number)
    await eventually(lambda: len(alice.line.frames) >= 7)
    await node.redis._journal.write()
    tenure = node.redis._journal.tenures[alice.welcome["sid"]]
    tenure.seq -= 2  # As if the answer of the last two had been lost.
    await bob.say("message", room="r", to="*", data=4)
    await eventually(lambda: len(alice.line.frames) >= 8 and tenure.seq == alice.client.session.seq)
    frames = [entry.frame for entry in alice.client.session.log]
    await node.die()
    again = await other.resume(alice, f"{alice.welcome['epoch']}.1")
    assert again.welcome["resumed"]
    assert [entry.frame for entry in again.client.session.log] == frames[1:]
