"""Requests that reach another node than their session's."""

import json
from typing import Any

from signal_api.protocol.refusals import CloseCode
from tests.redis_server import RedisServer
from tests.signal_api.cluster import RedisNode, cluster_on
from tests.signal_api.socketless import Seat
from tests.signal_api.transports.web import Call
from tests.waiting import eventually


async def _ask(node: RedisNode, method: str, seat: Seat, path: str, body: Any = None, key: str | None = None) -> Call:
    headers = {"Authorization": f"Bearer {key or seat.welcome['key']}"}
    encoded = b"" if body is None else json.dumps(body).encode()
    call = Call(node.http, method, f"/v1/sessions/{seat.welcome['sid']}{path}", headers, encoded)
    await call.task
    return call


def _heard(seat: Seat) -> list[Any]:
    return [frame["data"] for frame in seat.line.frames if frame["type"] == "message"]


async def test_a_post_reaches_the_session_wherever_it_is_and_takes_effect_once(
    one_redis: RedisServer, redis_prefix: str
) -> None:
    frame = {"type": "message", "id": "c1", "room": "r", "to": "*", "data": 1}
    async with cluster_on(one_redis.url, redis_prefix) as cluster:
        one, other = await cluster.node(), await cluster.node()
        alice, bob = await one.enter(rooms=["r"]), await one.enter(rooms=["r"])
        for node in (other, one, other):
            call = await _ask(node, "POST", alice, "/messages", [frame])
            assert (call.status, json.loads(call.body)) == (202, {"results": [{"ok": True, "re": "c1"}]})
        await eventually(lambda: _heard(bob) == [1])
        wrong = await _ask(other, "POST", alice, "/messages", [frame], key="a guess")
        assert wrong.status == 410
        bad = await _ask(other, "POST", alice, "/messages", 7)
        assert (bad.status, json.loads(bad.body)["code"]) == (400, "bad_request")
        assert alice.line.closed is None


async def test_a_poll_at_another_node_takes_the_session_there(one_redis: RedisServer, redis_prefix: str) -> None:
    async with cluster_on(one_redis.url, redis_prefix) as cluster:
        one, other = await cluster.node(), await cluster.node()
        alice = await one.enter(rooms=["r"])
        await eventually(lambda: len(alice.line.frames) == 2)
        call = await _ask(other, "GET", alice, f"/events?after={alice.welcome['epoch']}.1&wait=0")
        types = [event["type"] for event in json.loads(call.body)["events"]]
        assert types == ["welcome", "joined"]
        assert alice.line.closed is CloseCode.REPLACED
        assert one.hub.roster.get(alice.welcome["sid"]) is None


async def test_a_session_is_ended_from_another_node(one_redis: RedisServer, redis_prefix: str) -> None:
    async with cluster_on(one_redis.url, redis_prefix) as cluster:
        one, other = await cluster.node(), await cluster.node()
        alice, bob = await one.enter(rooms=["r"]), await other.enter(rooms=["r"])
        call = await _ask(other, "DELETE", alice, "")
        assert call.status == 204
        await eventually(lambda: "member.left" in [frame["type"] for frame in bob.line.frames])
        gone = await _ask(other, "POST", alice, "/messages", {"type": "ping"})
        assert gone.status == 410


async def test_who_a_session_is_can_be_looked_up_without_moving_it(one_redis: RedisServer, redis_prefix: str) -> None:
    async with cluster_on(one_redis.url, redis_prefix) as cluster:
        one, other = await cluster.node(), await cluster.node()
        alice = await one.enter(rooms=["r"])
        await eventually(lambda: "r" in alice.client.session.rooms)
        custody = other.hub.custody
        assert custody is not None
        seen = await custody.view(alice.welcome["sid"], alice.welcome["key"])
        assert seen is not None
        assert set(seen.session.rooms) == {"r"}
        assert await custody.view(alice.welcome["sid"], "a guess") is None
        assert alice.line.closed is None
