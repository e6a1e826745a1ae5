"""Sessions go from node to node: nothing is lost, nothing comes twice, and nobody is in two places."""

import asyncio
from typing import Any

import pytest

from signal_api.engine.redis.scripts import CLAIM, COMMIT
from signal_api.protocol.effects import Tell
from signal_api.protocol.messages import server_frame
from signal_api.protocol.refusals import CloseCode, Closing
from tests.redis_proxy import proxy_to
from tests.redis_server import RedisServer
from tests.signal_api.cluster import Cluster, cluster_on
from tests.signal_api.socketless import Line, Seat
from tests.signal_api.worlds import token
from tests.waiting import eventually


async def _say(seat: Seat, *numbers: int) -> None:
    for number in numbers:
        await seat.say("message", room="r", to="*", data=number, id=f"n{number}")


def _messages(seat: Seat) -> list[Any]:
    return [frame["data"] for frame in seat.line.frames if frame["type"] == "message"]


def _position(seat: Seat) -> str:
    numbers = [frame["seq"] for frame in seat.line.frames if "seq" in frame]
    return f"{seat.welcome['epoch']}.{numbers[-1]}"


async def test_members_of_two_nodes_are_in_one_room(cluster: Cluster) -> None:
    one, other = await cluster.node(), await cluster.node()
    alice = await one.enter(rooms=["r"])
    bob = await other.enter(rooms=["r"])
    await eventually(lambda: "member.joined" in [frame["type"] for frame in alice.line.frames])
    await _say(bob, 1, 2, 3)
    await eventually(lambda: _messages(alice) == [1, 2, 3])
    assert _messages(bob) == []


async def test_a_session_goes_on_at_another_node_while_its_old_connection_is_open(cluster: Cluster) -> None:
    one, other = await cluster.node(), await cluster.node()
    alice, bob = await one.enter(rooms=["r"]), await one.enter(rooms=["r"])
    await _say(bob, 1, 2)
    await eventually(lambda: _messages(alice) == [1, 2])
    position = _position(alice)
    await _say(bob, 3, 4)
    again = await other.resume(alice, position)
    assert again.welcome["resumed"]
    assert alice.line.closed is CloseCode.REPLACED
    await _say(bob, 5)
    await eventually(lambda: _messages(again) == [3, 4, 5])
    numbers = [frame["seq"] for frame in again.line.frames if "seq" in frame]
    assert numbers == list(range(int(position.partition(".")[2]) + 1, numbers[-1] + 1))
    back = await one.resume(again, f"{alice.welcome['epoch']}.{numbers[-1]}")
    assert back.welcome["resumed"]
    assert again.line.closed is CloseCode.REPLACED
    await _say(bob, 6)
    await eventually(lambda: _messages(back) == [6])


async def test_a_session_whose_node_died_goes_on_without_a_gap(cluster: Cluster) -> None:
    one, other = await cluster.node(), await cluster.node()
    alice, bob = await one.enter(rooms=["r"]), await other.enter(rooms=["r"])
    await _say(bob, 1, 2)
    await eventually(lambda: _messages(alice) == [1, 2])
    await one.kept()
    position = _position(alice)
    await one.die()
    await _say(bob, 3, 4)
    again = await other.resume(alice, position)
    assert again.welcome["resumed"]
    await _say(bob, 5)
    await eventually(lambda: _messages(again) == [3, 4, 5])
    await _say(again, 6)
    await eventually(lambda: _messages(bob) == [6])


async def test_who_saw_more_than_was_kept_begins_anew(cluster: Cluster) -> None:
    one, other = await cluster.node(), await cluster.node()
    alice = await one.enter(rooms=["r"])
    await one.kept()
    await one.die()
    again = await other.resume(alice, f"{alice.welcome['epoch']}.9")
    assert not again.welcome["resumed"]
    assert again.welcome["reason"] == "gap"
    await _shown(again)


async def _shown(seat: Seat) -> None:
    await eventually(lambda: "joined" in [frame["type"] for frame in seat.line.frames])


async def test_nobody_moves_a_session_without_its_key(cluster: Cluster) -> None:
    one, other = await cluster.node(), await cluster.node()
    alice = await one.enter(rooms=["r"])
    line = Line()
    resume = {"sid": alice.welcome["sid"], "key": "a guess", "after": 1}
    client = await other.let_in(line, resume=resume)
    assert not isinstance(client, Closing)
    assert client.sid != alice.client.sid
    assert alice.line.closed is None


async def test_the_rooms_of_a_dead_node_are_told_after_the_grace(one_redis: RedisServer, redis_prefix: str) -> None:
    async with cluster_on(one_redis.url, redis_prefix, times__presence_grace=0.1) as cluster:
        one, other = await cluster.node(), await cluster.node()
        bob = await other.enter(rooms=["r"])
        alice = await one.enter(rooms=["r"])
        await _shown(alice)
        await one.kept()
        await one.die()
        await eventually(lambda: "member.left" in [frame["type"] for frame in bob.line.frames])
        again = await other.resume(alice, _position(alice))
        assert again.welcome["resumed"]
        await _shown(again)


async def test_a_frame_takes_effect_once_wherever_it_is_repeated(cluster: Cluster) -> None:
    one, other = await cluster.node(), await cluster.node()
    alice, bob = await one.enter(rooms=["r"]), await other.enter(rooms=["r"])
    await _shown(alice)
    for _ in range(3):
        await _say(alice, 1)
    await one.kept()
    await one.die()
    again = await other.resume(alice, _position(alice))
    await _say(again, 1)
    await _say(again, 2)
    await eventually(lambda: _messages(bob)[-1:] == [2])
    assert _messages(bob) == [1, 2]


async def test_who_came_in_without_hearing_of_it_is_told_when_asking_again(cluster: Cluster) -> None:
    node = await cluster.node()
    alice, bob = await node.enter(rooms=["r"]), await node.enter(rooms=["r"])
    await _shown(alice)
    del alice.client.session.rooms["r"]  # As if the answer of the store had been lost.
    await alice.say("join", data={"room": "r"}, id="c1")
    await eventually(lambda: [f["type"] for f in alice.line.frames].count("joined") == 2)
    await _say(bob, 1)
    await eventually(lambda: _messages(alice) == [1])


async def test_a_user_is_told_once_while_a_session_is_looked_for_where_it_is(
    cluster: Cluster, one_redis: RedisServer
) -> None:
    async with proxy_to(one_redis) as proxy:
        node = await cluster.node(proxy.url)
        hers = token(node.clock)
        alice = await node.enter(token=hers)
        resume = {key: alice.welcome[key] for key in ("sid", "key")} | {"after": f"{alice.welcome['epoch']}.1"}
        proxy.watch(CLAIM, is_held=True)
        again = asyncio.create_task(node.enter(token=hers, resume=resume))
        await proxy.asked.wait()
        await node.redis.publish((Tell("alice", server_frame("x.news")),))
        await eventually(lambda: "x.news" in [frame["type"] for frame in alice.line.frames])
        proxy.passing.set()
        await again
        types = [entry.frame.head for entry in alice.client.session.log]
        assert types == [server_frame("x.news").head]
        await node.stop()


async def test_a_whole_class_comes_into_one_room_at_once(cluster: Cluster) -> None:
    nodes = [await cluster.node(), await cluster.node()]
    seats = await asyncio.gather(*(nodes[number % 2].enter(rooms=["r"]) for number in range(60)))
    for seat in seats:
        await _shown(seat)
    assert len({seat.client.session.rooms["r"].order for seat in seats}) == 60


@pytest.mark.parametrize("where", ["here", "elsewhere"])
async def test_a_farewell_ends_when_its_client_comes_back(cluster: Cluster, one_redis: RedisServer, where: str) -> None:
    async with proxy_to(one_redis) as proxy:
        node, second = await cluster.node(proxy.url), await cluster.node()
        alice, bob = await node.enter(rooms=["a", "b"]), await node.enter(rooms=["a", "b"])
        await node.kept()
        alice.lose()
        proxy.watch(COMMIT, is_held=True)
        node.clock.move(11)
        node.hub.timers.run_due()
        await proxy.asked.wait()  # The first room knows that she is away.
        to = node if where == "here" else second
        returning = asyncio.create_task(to.resume(alice, f"{alice.welcome['epoch']}.{alice.client.session.seq}"))
        await eventually(lambda: not alice.client.is_away)
        proxy.passing.set()
        again = await returning
        await node.hub.settled()
        assert again.welcome["resumed"]
        for name in ("a", "b"):
            room = (await second.redis.load(name)).room
            assert room is not None
            assert {member.sid for member in room.members.values()} == {alice.client.sid, bob.client.sid}
        assert all(membership.present for membership in again.client.session.rooms.values())
        await eventually(lambda: bob.line.frames[-1]["type"] == "member.joined")
        assert ("member.left", "b") not in [(frame["type"], frame.get("room")) for frame in bob.line.frames]
        await node.stop()
