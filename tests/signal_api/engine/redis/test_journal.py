"""What Redis has of a session follows what the session is."""

import asyncio
from functools import partial

import pytest

from signal_api.engine.redis import journal
from signal_api.engine.redis.journal import HOLD
from signal_api.engine.redis.scripts import CLAIM, KEEP
from signal_api.engine.redis.store import PATIENCE
from signal_api.luggage import Luggage
from signal_api.protocol.refusals import CloseCode, Closing
from tests.redis_proxy import proxy_to
from tests.redis_server import RedisServer
from tests.signal_api.cluster import Cluster, RedisNode
from tests.signal_api.socketless import Line
from tests.waiting import eventually

#: entries that Redis keeps in one piece, and drops together
_TOGETHER = 100


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
    for keys in (f"{redis_prefix}:?:{sid}", f"{redis_prefix}:r:*"):
        await eventually(partial(_has_none, one_redis, keys))


def _has_none(server: RedisServer, keys: str) -> bool:
    return server.command("KEYS", keys) == b"*0\r\n"


async def test_a_stream_holds_what_is_kept_for_a_while_and_no_longer(
    cluster: Cluster, one_redis: RedisServer, redis_prefix: str
) -> None:
    node = await cluster.node()
    alice, bob = await node.enter(rooms=["r"]), await node.enter(rooms=["r"])
    await eventually(lambda: len(alice.line.frames) == 3)
    stream, about = f"{redis_prefix}:in:{node.redis._store.node}", f"{redis_prefix}:n:{node.redis._store.node}"

    async def settled() -> int:
        last = one_redis.command("HGET", about, "last")
        await eventually(lambda: one_redis.command("HGET", about, "at") == last)
        return _number(one_redis.command("XLEN", stream))

    node.clock.stand_still()
    for number in range(500):
        await bob.say("message", room="r", to="*", data=number)
    await eventually(lambda: len(alice.line.frames) == 503)
    assert await settled() >= 500, "whoever takes over a session may be about to read it"
    node.clock.move(HOLD)
    await bob.say("message", room="r", to="*", data=500)
    await eventually(lambda: len(alice.line.frames) == 504)
    assert await settled() <= 1 + _TOGETHER


def _number(reply: bytes) -> int:
    return int(reply[1:])


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


async def test_a_session_that_opened_without_hearing_of_it_is_kept_by_nobody(
    cluster: Cluster, one_redis: RedisServer, redis_prefix: str
) -> None:
    async with proxy_to(one_redis) as proxy:
        node = await cluster.node(proxy.url, PATIENCE)
        proxy.watch(KEEP)
        refused = await node.let_in(Line())
        assert isinstance(refused, Closing)
        assert refused.code is CloseCode.ENGINE_UNAVAILABLE
        assert len(node.hub.roster) == 0
        keys = f"{redis_prefix}:s:*"
        await eventually(lambda: one_redis.command("KEYS", keys) == b"*0\r\n")
        await node.stop()


async def test_a_session_that_changes_while_redis_is_asked_for_it_in_vain_keeps_nobody_from_being_kept(
    cluster: Cluster, one_redis: RedisServer, redis_prefix: str
) -> None:
    async with proxy_to(one_redis) as proxy:
        node = await cluster.node(proxy.url, PATIENCE)
        proxy.watch(KEEP)
        coming = asyncio.create_task(node.let_in(Line()))
        await proxy.asked.wait()
        (client,) = node.hub.roster
        node.redis._journal.changed(client.sid)
        assert isinstance(await coming, Closing)
        await eventually(lambda: one_redis.command("KEYS", f"{redis_prefix}:s:*") == b"*0\r\n")
        await node.stop()


@pytest.mark.parametrize("why", ["ended", "draining", "hung up"])
async def test_a_session_that_ends_while_it_is_first_kept_is_not_welcomed(
    cluster: Cluster, one_redis: RedisServer, redis_prefix: str, why: str
) -> None:
    async with proxy_to(one_redis) as proxy:
        node, line = await cluster.node(proxy.url), Line()
        proxy.watch(KEEP, is_held=True)
        coming = asyncio.create_task(node.let_in(line))
        await proxy.asked.wait()
        if why == "ended":
            (client,) = node.hub.roster
            node.hub.end(client)
        elif why == "draining":
            await node.hub.drain(0)
        else:
            line.close(CloseCode.RATE_LIMITED)
        proxy.passing.set()
        refused = await coming
        assert isinstance(refused, Closing)
        assert refused.code is (CloseCode.DRAIN if why == "draining" else CloseCode.REBALANCE)
        assert line.frames == []
        assert len(node.hub.roster) == 0
        await eventually(lambda: one_redis.command("KEYS", f"{redis_prefix}:s:*") == b"*0\r\n")
        await node.stop()


async def test_who_comes_back_before_redis_knows_of_the_end_begins_a_session_that_hears(
    cluster: Cluster, one_redis: RedisServer, redis_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_GATHER", 60.0)
    node = await cluster.node()
    alice, bob = await node.enter(), await node.enter(rooms=["r"])
    sid = alice.welcome["sid"]
    node.hub.end(alice.client)
    again = await node.resume(alice, f"{alice.welcome['epoch']}.0")
    assert not again.welcome["resumed"]
    assert again.welcome["sid"] != sid
    await node.redis._journal.write()
    assert one_redis.command("EXISTS", f"{redis_prefix}:s:{sid}") == b":0\r\n"
    await again.say("join", room="r")
    await bob.say("message", room="r", to="*", data=1)
    await eventually(lambda: "message" in [frame["type"] for frame in again.line.frames])


async def test_an_end_is_remembered_until_redis_has_answered(cluster: Cluster, one_redis: RedisServer) -> None:
    async with proxy_to(one_redis) as proxy:
        node = await cluster.node(proxy.url)
        alice, kept = await node.enter(), node.redis._journal
        sid, fence = alice.client.sid, kept.tenures[alice.client.sid].fence
        proxy.watch(KEEP, is_held=True)
        node.hub.end(alice.client)
        await proxy.asked.wait()
        assert kept.has_ended(sid, fence)
        assert not kept.has_ended(sid, fence + 1), "it has come back from another node"
        proxy.passing.set()
        await eventually(lambda: not kept.has_ended(sid, fence))
        await node.stop()


async def test_a_session_that_redis_has_lost_begins_anew(
    cluster: Cluster, one_redis: RedisServer, redis_prefix: str
) -> None:
    node = await cluster.node()
    alice, bob = await node.enter(rooms=["r"]), await node.enter(rooms=["r"])
    await eventually(lambda: len(alice.line.frames) == 3)
    sid = alice.client.sid
    one_redis.command("DEL", f"{redis_prefix}:s:{sid}")
    await alice.say("ping", ack=3)
    await eventually(lambda: alice.line.closed is CloseCode.REBALANCE)
    await eventually(lambda: sid in node.redis._journal.tenures)
    again = await node.resume(alice, f"{alice.welcome['epoch']}.3")
    assert (again.welcome["resumed"], again.welcome["sid"]) == (False, sid)
    await eventually(lambda: one_redis.command("EXISTS", f"{redis_prefix}:s:{sid}") == b":1\r\n")
    await again.say("join", room="r")
    await bob.say("message", room="r", to="*", data=1)
    await eventually(lambda: "message" in [frame["type"] for frame in again.line.frames])


async def test_what_another_node_has_claimed_is_kept_until_it_asks(cluster: Cluster) -> None:
    node, other = await cluster.node(), await cluster.node()
    alice = await node.enter()
    _, reading, _ = node.redis._tasks
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await other.redis._store.run(CLAIM, alice.client.sid, CloseCode.REPLACED.value, "", 1500)
    node.redis._journal.changed(alice.client.sid)
    await node.redis._journal.write()
    assert alice.client.sid in node.redis._journal.tenures
    assert alice.line.closed is None
