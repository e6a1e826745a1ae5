"""Nodes that come, go, and are forgotten."""

import asyncio
import time
from typing import Any

import pytest

from signal_api.engine.redis.parcels import hashed
from signal_api.protocol.moderation import Alteration, Who
from signal_api.protocol.refusals import CloseCode
from signal_api.protocol.revocations import Revocation, RevocationKind
from tests.redis_server import RedisServer
from tests.signal_api.cluster import Cluster, RedisNode
from tests.signal_api.socketless import Seat
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
    await eventually(lambda: one.hub.roster.get(alice.welcome["sid"]) is None)
    assert alice.line.closed is CloseCode.REBALANCE


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


async def test_what_is_over_is_forgotten_and_not_counted(
    cluster: Cluster, one_redis: RedisServer, redis_prefix: str
) -> None:
    node = await cluster.node()
    steward, now = node.dispatch.verbs.steward, time.time()
    for number in range(120):
        await node.redis.revoke(Revocation(RevocationKind.TOKEN, f"t{number}", now, now + (0.5 if number else 60)))
    await node.redis.revoke(Revocation(RevocationKind.TOKEN, "lifted", now, now + 60))
    await node.redis.revoke(Revocation(RevocationKind.TOKEN, "lifted", now, now))
    await steward.kick("banned", Who(user="u"), 0.5, "backend")
    seat = await node.enter(rooms=["closed", "open", "ghosts"])
    await seat.say("leave", room="closed")
    for key in ("names", "census", "revoked"):
        assert one_redis.command("PTTL", f"{redis_prefix}:{key}") == b":-1\r\n"
    ghosts = hashed("ghosts") + "ghosts"
    assert one_redis.command("ZADD", f"{redis_prefix}:due:rooms", "XX", "CH", "1", ghosts) == b":1\r\n"

    def left() -> list[bytes]:
        counts = (("HLEN", "revoked"), ("ZCARD", "due:revoked"), ("ZCARD", "names"), ("ZCARD", "due:rooms"))
        return [one_redis.command(how, f"{redis_prefix}:{key}") for how, key in counts]

    await eventually(lambda: left() == [b":1\r\n"] * 4)
    assert [room.name for room in await node.redis.rooms("", 10)] == ["open"]
    await eventually(lambda: node.redis.census() == (1, 1))


async def _examinee(node: RedisNode, **hello: Any) -> Seat:
    seat = await node.enter(**hello)
    async with asyncio.timeout(20):
        while "exam" not in seat.client.session.rooms:  # On a busy machine Redis may not be heard in time.
            await seat.say("join", data={"room": "exam", "password": "secret"})
    return seat


async def test_a_kept_room_has_no_end_and_that_of_others_moves_on(
    cluster: Cluster, one_redis: RedisServer, redis_prefix: str
) -> None:
    node = await cluster.node()
    due = f"{redis_prefix}:due:rooms"

    def end_of(room: str) -> float:
        told = one_redis.command("ZSCORE", due, hashed(room) + room).split(b"\r\n")
        return float(told[1]) / 1000 - time.time() if len(told) > 2 else float("inf")

    await node.dispatch.verbs.steward.establish("exam", Alteration(password="secret", kept=True))
    seat = await _examinee(node, rooms=["r"])
    assert (end_of("exam"), 86000 < end_of("r") < 86500) == (float("inf"), True)
    one_redis.command("ZADD", due, "XX", str(round(time.time() * 1000) + 60000), hashed("r") + "r")
    assert end_of("r") < 61
    async with asyncio.timeout(20):
        while end_of("r") < 61:  # On a busy machine Redis may not be heard in time.
            await node.redis._vault.renew()
    assert (end_of("exam"), 86000 < end_of("r") < 86500) == (float("inf"), True)
    await seat.say("leave", room="exam")
    assert end_of("exam") == float("inf")
    assert one_redis.command("PTTL", f"{redis_prefix}:r:{hashed('exam')}") == b":-1\r\n"
    await node.dispatch.verbs.steward.close("exam")
    await seat.say("leave", room="r")
    assert one_redis.command("EXISTS", due) == b":0\r\n"


async def test_what_lives_is_renewed_many_at_once_and_no_beat_waits_for_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await cluster.node()
    calls = node.redis._store.meters.calls
    await asyncio.gather(*(node.enter(rooms=["r"]) for _ in range(40)))
    await node.kept()
    before = sum(calls.values())
    await node.redis._vault.renew()
    assert sum(calls.values()) - before < 20
    monkeypatch.setattr("signal_api.engine.redis.nodes._RENEWAL", 1)
    turns = node.redis._store._turns
    for _ in range(32):  # Nobody else can ask Redis for anything.
        await turns.acquire()
    other = await cluster.node()
    await eventually(lambda: other.redis._store.node in node.redis._nodes._seen)
    for _ in range(32):
        turns.release()


async def test_who_was_in_a_kept_room_when_all_nodes_went_is_not_in_it_for_good(
    cluster: Cluster, one_redis: RedisServer, redis_prefix: str
) -> None:
    node = await cluster.node()
    await node.dispatch.verbs.steward.establish("exam", Alteration(password="secret", kept=True))
    seats = [await _examinee(node) for _ in range(2)]
    await node.kept()
    await node.die()
    one_redis.command("DEL", f"{redis_prefix}:nodes")  # A day has passed, and the session's is over as well.
    one_redis.command("DEL", f"{redis_prefix}:s:{seats[0].client.sid}")
    node = await cluster.node()

    async def members() -> list[str]:
        room = (await node.redis.load("exam")).room
        assert room is not None
        assert room.terms.password is not None
        return [member.sid for member in room.members.values()]

    async with asyncio.timeout(20):
        while await members() != [seats[1].client.sid]:  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.01)
    await eventually(lambda: node.redis.census() == (1, 1))
