"""What is dead stays dead: no room keeps a session that has ended, whichever answers of Redis were lost on the way."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fairlead.link import Command, Revoke
from signal_api.engine.redis.scripts import COMMIT
from signal_api.engine.redis.store import PATIENCE
from signal_api.node.relaying import Relaying
from signal_api.protocol.effects import LeaveReason
from signal_api.protocol.refusals import CloseCode, Closing, EngineUnavailableError
from signal_api.protocol.revocations import Revocation, RevocationKind
from signal_api.protocol.rooms import Candidate, Change, join
from signal_api.rest import IceRequest, Rest
from signal_api.web.problems import RefusedError
from tests.redis_proxy import RedisProxy, proxy_to
from tests.redis_server import RedisServer
from tests.signal_api.cluster import Cluster, RedisNode
from tests.signal_api.socketless import Line, Seat
from tests.signal_api.worlds import token
from tests.waiting import eventually


@pytest.fixture
async def proxy(one_redis: RedisServer) -> AsyncIterator[RedisProxy]:
    async with proxy_to(one_redis) as proxy:
        yield proxy


async def _members(node: RedisNode, room: str = "r") -> list[str]:
    stored = (await node.redis.load(room)).room
    return [member.sid for member in stored.members.values()] if stored is not None else []


async def _settled(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110 - nobody says when
            await asyncio.sleep(0.02)


async def _back(node: RedisNode) -> None:
    """Redis answers the node again."""
    await eventually(lambda: not node.redis.troubles())


@pytest.mark.parametrize("is_joined_again", [False, True])
async def test_who_came_in_without_an_answer_and_ends_leaves_no_ghost(
    cluster: Cluster, proxy: RedisProxy, one_redis: RedisServer, redis_prefix: str, is_joined_again: bool
) -> None:
    witness, node = await cluster.node(), await cluster.node(proxy.url, PATIENCE)
    bob, alice = await witness.enter(rooms=["r"]), await node.enter()
    told: list[Command] = []
    node.hub.rights.command = told.append
    proxy.watch(COMMIT)
    await alice.say("join", room="r", id="c1")
    assert alice.line.frames[-1]["data"]["code"] == "engine_unavailable"
    assert alice.client.sid in await _members(witness), "it is in, and nobody has heard"
    await _back(node)
    if is_joined_again:
        await alice.say("join", room="r", id="c2")
    node.hub.end(alice.client, LeaveReason.LEAVE)
    await _settled(lambda: _are(witness, [bob.client.sid]))
    session = f"{redis_prefix}:s:{alice.client.sid}"
    await eventually(lambda: one_redis.command("EXISTS", session) == b":0\r\n")
    await eventually(lambda: "member.left" in [frame["type"] for frame in bob.line.frames])
    assert len({command.value for command in told if isinstance(command, Revoke)}) == 1


async def _are(node: RedisNode, members: list[str]) -> bool:
    return await _members(node) == members


async def test_who_ends_before_its_coming_in_reaches_redis_does_not_come_in(cluster: Cluster) -> None:
    node = await cluster.node()
    stored = await node.redis.load("r")
    change = join(stored.room, "r", Candidate("m_1", "s_that_has_ended", None), 0, 10)
    assert isinstance(change, Change)
    with pytest.raises(EngineUnavailableError, match="does not have this session"):
        await node.redis.commit("r", stored.version, change.room, change.effects)
    assert await _members(node) == []
    assert node.redis.census().members == 0


async def test_who_ends_while_redis_has_forgotten_it_is_not_kept_again(
    cluster: Cluster, one_redis: RedisServer, redis_prefix: str
) -> None:
    node, witness = await cluster.node(), await cluster.node()
    alice, bob = await node.enter(rooms=["r"]), await witness.enter(rooms=["r"])
    await eventually(lambda: "member.joined" in [frame["type"] for frame in alice.line.frames])
    beating, *_ = node.redis._tasks
    beating.cancel()  # It would have the session kept again at once.
    await asyncio.gather(beating, return_exceptions=True)
    session = f"{redis_prefix}:s:{alice.client.sid}"
    one_redis.command("DEL", session)
    await alice.say("ping", ack=2)
    await eventually(lambda: alice.line.closed is CloseCode.REBALANCE)
    node.hub.end(alice.client)
    await node.hub.settled()
    await node.redis._vault.house(node.redis._store.node)
    await eventually(lambda: one_redis.command("EXISTS", session) == b":0\r\n")
    assert alice.client.sid not in node.redis._journal.tenures
    await _settled(lambda: _are(witness, [bob.client.sid]))


async def test_a_token_that_was_revoked_is_good_for_nothing_at_any_node(cluster: Cluster) -> None:
    """Neither at the door, nor for a session whose node is gone and that nobody has taken over yet."""
    one, other = await cluster.node(), await cluster.node()
    hers = token(one.clock, jti="t1")
    alice = await one.enter(token=hers, rooms=["r"])
    await eventually(lambda: "joined" in [frame["type"] for frame in alice.line.frames])
    await one.kept()
    rest, asked = Rest(other.hub, Relaying(other.hub, other.engine)), IceRequest(sid=alice.client.sid, room="r")
    membership = alice.client.session.rooms["r"]
    assert (await rest._by_session(alice.welcome["key"], asked)).user == membership.turn_user
    await one.die()
    third = await cluster.node()
    now = third.clock.now().wall
    await third.redis.revoke(Revocation(RevocationKind.TOKEN, "t1", now, now + 600))
    await eventually(lambda: len(other.hub.revocations) == len(third.hub.revocations) == 1)
    for node in (other, third):
        refused = await node.let_in(Line(), token=hers)
        assert isinstance(refused, Closing)
        assert refused.code is CloseCode.UNAUTHORIZED
    with pytest.raises(RefusedError, match="no such session"):
        await rest._by_session(alice.welcome["key"], asked)


def _withdrawn(told: list[Command]) -> set[str]:
    return {command.value for command in told if isinstance(command, Revoke)}


async def _told(*nodes: RedisNode) -> list[Command]:
    told: list[Command] = []
    for node in nodes:
        node.hub.rights.command = told.append
    return told


async def test_who_left_without_an_answer_relays_no_more_once_it_has_asked_again(
    cluster: Cluster, proxy: RedisProxy
) -> None:
    node = await cluster.node(proxy.url, PATIENCE)
    told, alice = await _told(node), await node.enter(rooms=["r"])
    user = alice.client.session.rooms["r"].turn_user
    proxy.watch(COMMIT)
    await alice.say("leave", room="r", id="c1")
    await _back(node)
    await alice.say("leave", room="r", id="c1")
    assert alice.line.frames[-1]["type"] == "ok"
    assert _withdrawn(told) == {user}


async def test_a_kick_without_an_answer_ends_the_relay_all_the_same(cluster: Cluster, proxy: RedisProxy) -> None:
    node, other = await cluster.node(proxy.url, PATIENCE), await cluster.node()
    told = await _told(node, other)
    alice = await node.enter(token=token(node.clock, can=["join", "create", "moderate"]), rooms=["r"])
    bob = await other.enter(token=token(other.clock, "bob", rooms=["r", "q"]), rooms=["r"])
    await eventually(lambda: "r" in bob.client.session.rooms)
    membership = bob.client.session.rooms["r"]
    proxy.watch(COMMIT)
    await alice.say("kick", room="r", data={"member": membership.member}, id="c1")
    assert alice.line.frames[-1]["data"]["code"] == "engine_unavailable"
    await eventually(lambda: _closed(bob))
    assert membership.turn_user in _withdrawn(told)


def _closed(seat: Seat) -> bool:
    return "room.closed" in [frame["type"] for frame in seat.line.frames]
