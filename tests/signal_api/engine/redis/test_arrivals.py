"""A session comes to a node though replies of Redis are lost on the way: it is neither lost nor in two places."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from signal_api.clients import Client
from signal_api.engine.redis.scripts import CLAIM, ORPHANS, READ
from signal_api.engine.redis.store import PATIENCE
from signal_api.protocol.refusals import CloseCode, Closing
from tests.redis_proxy import RedisProxy, proxy_to
from tests.redis_server import RedisServer
from tests.signal_api.cluster import Cluster, RedisNode
from tests.signal_api.socketless import Line, Seat
from tests.waiting import eventually


@pytest.fixture
async def proxy(one_redis: RedisServer) -> AsyncIterator[RedisProxy]:
    async with proxy_to(one_redis) as proxy:
        yield proxy


def _messages(seat: Seat) -> list[Any]:
    return [frame["data"] for frame in seat.line.frames if frame["type"] == "message"]


async def _try(seat: Seat, node: RedisNode) -> Seat | None:
    """The session of a seat at another node; None when that cannot be done just now."""
    line, numbers = Line(), [frame["seq"] for frame in seat.line.frames if "seq" in frame]
    after = f"{seat.welcome['epoch']}.{numbers[-1]}"
    resume = {"sid": seat.welcome["sid"], "key": seat.welcome["key"], "after": after}
    client = await node.let_in(line, resume=resume)
    if isinstance(client, Closing):
        assert client.code is CloseCode.ENGINE_UNAVAILABLE, client
        return None
    return Seat(node, client, line)


async def _insist(seat: Seat, node: RedisNode) -> Seat:
    async with asyncio.timeout(20):
        while (again := await _try(seat, node)) is None:  # noqa: ASYNC110 - nobody says when
            await asyncio.sleep(0.1)
        return again


@pytest.mark.parametrize("how", ["claim", "read"])
async def test_a_reply_that_is_lost_costs_no_frame(how: str, cluster: Cluster, proxy: RedisProxy) -> None:
    one, other = await cluster.node(), await cluster.node(proxy.url, PATIENCE)
    alice, bob = await one.enter(rooms=["r"]), await other.enter(rooms=["r"])
    await eventually(lambda: "member.joined" in [frame["type"] for frame in alice.line.frames])
    if how == "read":
        await one.kept()
        await one.die()
    proxy.watch(CLAIM if how == "claim" else READ)
    assert await _try(alice, other) is None
    await _insist_on_saying(bob, 1, 2)
    again = await _insist(alice, other)
    assert (again.welcome["resumed"], again.welcome["sid"]) == (True, alice.welcome["sid"])
    await _insist_on_saying(bob, 3)
    await eventually(lambda: _messages(again) == [1, 2, 3])
    await _insist_on_saying(again, 4)
    await eventually(lambda: _messages(bob) == [4])


async def _insist_on_saying(seat: Seat, *numbers: int) -> None:
    """Its node does not always hear Redis in time."""
    for number in numbers:
        while (reply := await _said(seat, number)) != "ok":
            assert reply == "error"
            await asyncio.sleep(0.1)


async def _said(seat: Seat, number: int) -> str:
    """How a message to the room was answered."""
    await seat.say("message", room="r", to="*", data=number, id=f"n{number}")
    answer: str = next(frame["type"] for frame in reversed(seat.line.frames) if frame.get("re") == f"n{number}")
    return answer


async def test_who_hangs_up_while_its_session_comes_finds_it_there(proxy: RedisProxy, cluster: Cluster) -> None:
    one, other = await cluster.node(), await cluster.node(proxy.url)
    alice, bob = await one.enter(rooms=["r"]), await one.enter(rooms=["r"])
    await eventually(lambda: "member.joined" in [frame["type"] for frame in alice.line.frames])
    proxy.watch(CLAIM, is_held=True)
    coming = asyncio.create_task(_try(alice, other))
    await proxy.asked.wait()
    coming.cancel()
    await asyncio.gather(coming, return_exceptions=True)
    await _said(bob, 1)
    proxy.passing.set()
    await eventually(lambda: other.hub.roster.get(alice.client.sid) is not None)
    again = await _insist(alice, other)
    assert again.welcome["resumed"]
    await eventually(lambda: _messages(again) == [1])


async def test_a_claim_of_which_nothing_is_known_ends_with_the_session_where_it_is(
    cluster: Cluster, proxy: RedisProxy
) -> None:
    """A third node was faster while the reply was on its way: the session is there, and stays there."""
    one, other, third = await cluster.node(), await cluster.node(proxy.url, PATIENCE), await cluster.node()
    alice, bob = await one.enter(rooms=["r"]), await one.enter(rooms=["r"])
    await eventually(lambda: "member.joined" in [frame["type"] for frame in alice.line.frames])
    proxy.watch(CLAIM)
    assert await _try(alice, other) is None
    again = await _insist(alice, third)
    await _said(bob, 1)
    await eventually(lambda: 1 in _messages(again))
    await asyncio.sleep(1)
    assert isinstance(third.hub.roster.get(alice.client.sid), Client)
    assert other.hub.roster.get(alice.client.sid) is None
    assert again.line.closed is None


async def test_what_a_node_has_left_stays_until_all_have_read_it(proxy: RedisProxy, cluster: Cluster) -> None:
    """A client fetches its session from a node that is gone, while another node finds nothing more to take over."""
    one, other, third = await cluster.node(), await cluster.node(proxy.url), await cluster.node()
    alice, bob = await one.enter(rooms=["r"]), await third.enter(rooms=["r"])
    await eventually(lambda: "member.joined" in [frame["type"] for frame in alice.line.frames])
    await one.kept()
    await one.die()
    await _said(bob, 1)
    proxy.watch(READ, is_held=True)
    coming = asyncio.create_task(_try(alice, other))
    await proxy.asked.wait()
    assert await third.redis._store.run(ORPHANS, one.redis._store.node, 32) is None
    proxy.passing.set()
    again = await coming
    assert again is not None
    assert again.welcome["resumed"]
    await eventually(lambda: _messages(again) == [1])
