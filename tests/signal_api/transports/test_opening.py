"""A session is opened once, however often and wherever it is asked for under one Idempotency-Key."""

import asyncio
import json
from typing import Any

import pytest

from signal_api.engine.redis.scripts import TELL
from tests.redis_proxy import proxy_to
from tests.redis_server import RedisServer
from tests.signal_api.cluster import RedisNode, cluster_on
from tests.signal_api.service import Service
from tests.signal_api.transports.web import Call
from tests.signal_api.worlds import JOIN_KEY
from tests.waiting import eventually

KEY = "1f8a3c52-9d1e-4f7a"
HELLO = {"v": 1, "token": JOIN_KEY, "rooms": ["r"]}


async def test_a_post_that_comes_three_times_opens_one_session() -> None:
    async with Service() as service:
        for headers in ({"Idempotency-Key": KEY}, {"Idempotency-Key": "another-one-of-these"}):
            asked = (service.http.post("/v1/sessions", json=HELLO, headers=headers) for _ in range(3))
            replies = await asyncio.gather(*asked)
            assert {reply.status_code for reply in replies} == {201}
            assert len({reply.content for reply in replies}) == 1
            assert replies[0].headers["location"] == f"/v1/sessions/{replies[0].json()['sid']}"
        assert len(service.hub.roster) == 2
        for _ in range(2):
            assert (await service.http.post("/v1/sessions", json=HELLO)).status_code == 201
        assert len(service.hub.roster) == 4


@pytest.mark.parametrize(
    ("key", "hello", "status"),
    [(KEY, HELLO | {"rooms": ["q"]}, 409), ("short", HELLO, 400), ("with a space and so on", HELLO, 400)],
)
async def test_a_key_is_one_of_its_own_and_for_one_request(key: str, hello: dict[str, Any], status: int) -> None:
    async with Service() as service:
        await service.http.post("/v1/sessions", json=HELLO, headers={"Idempotency-Key": KEY})
        reply = await service.http.post("/v1/sessions", json=hello, headers={"Idempotency-Key": key})
        assert reply.status_code == status


async def test_who_was_refused_may_ask_again() -> None:
    async with Service() as service:
        headers = {"Idempotency-Key": KEY}
        service.hub.leaving.begin()
        assert (await service.http.post("/v1/sessions", json=HELLO, headers=headers)).status_code == 503
        service.hub.leaving.call_off()
        assert (await service.http.post("/v1/sessions", json=HELLO, headers=headers)).status_code == 201


async def _open(node: RedisNode, hello: dict[str, Any] = HELLO) -> Call:
    headers = {"Idempotency-Key": KEY, "Content-Type": "application/json"}
    call = Call(node.http, "POST", "/v1/sessions", headers, json.dumps(hello).encode())
    await call.task
    return call


async def test_the_node_that_was_asked_first_answers_for_all(one_redis: RedisServer, redis_prefix: str) -> None:
    async with cluster_on(one_redis.url, redis_prefix) as cluster:
        one, other = await cluster.node(), await cluster.node()
        calls = [await _open(node) for node in (one, other, one, other)]
        assert [call.status for call in calls] == [201] * 4
        assert len({call.body for call in calls}) == 1
        assert len(one.hub.roster) + len(other.hub.roster) == 1
        assert (await _open(other, HELLO | {"rooms": ["q"]})).status == 409
        welcome = json.loads(calls[0].body)
        bearer = {"Authorization": f"Bearer {welcome['key']}"}
        poll = Call(other.http, "GET", f"/v1/sessions/{welcome['sid']}/events?wait=0", bearer)
        await poll.task
        assert [event["type"] for event in json.loads(poll.body)["events"]] == ["welcome", "joined"]


async def test_a_node_that_has_died_was_not_the_first(one_redis: RedisServer, redis_prefix: str) -> None:
    async with cluster_on(one_redis.url, redis_prefix) as cluster:
        one, other = await cluster.node(), await cluster.node()
        first = json.loads((await _open(one)).body)
        await one.stop()
        await eventually(lambda: len(other.hub.roster) == 1)
        again = await _open(other)
        assert again.status == 201
        assert json.loads(again.body)["sid"] != first["sid"]


async def test_a_node_that_is_about_to_go_leaves_it_to_another(one_redis: RedisServer, redis_prefix: str) -> None:
    async with cluster_on(one_redis.url, redis_prefix) as cluster:
        one, other = await cluster.node(), await cluster.node()
        one.hub.leaving.begin()
        assert (await _open(one)).status == 503
        assert (await _open(other)).status == 201
        assert (await _open(other)).body == (await _open(one)).body
        assert (len(one.hub.roster), len(other.hub.roster)) == (0, 1)


async def test_two_who_hear_at_once_that_the_first_is_about_to_go_are_one(
    one_redis: RedisServer, redis_prefix: str
) -> None:
    async with proxy_to(one_redis) as proxy, cluster_on(one_redis.url, redis_prefix) as cluster:
        one, slow, other = await cluster.node(), await cluster.node(proxy.url), await cluster.node()
        one.hub.leaving.begin()
        assert (await _open(one)).status == 503
        proxy.watch(TELL, is_held=True)
        calls = [asyncio.create_task(_open(slow))]
        await proxy.asked.wait()  # It has asked the one that goes, and will hear of that when the other one has, too.
        calls.append(asyncio.create_task(_open(other)))
        await calls[1]
        proxy.passing.set()
        replies = await asyncio.gather(*calls)
        assert [call.status for call in replies] == [201, 201]
        assert replies[0].body == replies[1].body
        assert len(slow.hub.roster) + len(other.hub.roster) == 1


async def test_two_at_once_at_two_nodes_are_one(one_redis: RedisServer, redis_prefix: str) -> None:
    async with cluster_on(one_redis.url, redis_prefix) as cluster:
        nodes = [await cluster.node(), await cluster.node()]
        calls = await asyncio.gather(*(_open(nodes[number % 2]) for number in range(6)))
        assert [call.status for call in calls] == [201] * 6
        assert len({call.body for call in calls}) == 1
        assert sum(len(node.hub.roster) for node in nodes) == 1
