"""Keys and scopes of the admin API, and POSTs that come twice."""

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator

import httpx
import pytest

from fairlead.metrics import Metrics
from signal_api.app import create_app
from signal_api.engine.redis.engine import RedisEngine
from signal_api.policy import read_policy
from signal_api.protocol.refusals import EngineUnavailableError
from tests.redis_server import PATIENT, RedisServer
from tests.signal_api.admin.conftest import KEYS, READER_KEY, ROOT_KEY
from tests.signal_api.cluster import RealClock
from tests.signal_api.service import Service
from tests.signal_api.worlds import JOIN_KEY, configured, instruments, token

ROUTES = re.compile(r"/v1/admin/.*")


async def _operations(service: Service) -> list[tuple[str, str]]:
    paths = (await service.http.get("/v1/openapi.json")).json()["paths"]
    return [
        (method.upper(), path)
        for path in paths
        if ROUTES.match(path)
        for method in paths[path]
        if method != "parameters"
    ]


async def test_every_route_asks_for_a_key_and_its_scope(service: Service) -> None:
    operations = await _operations(service)
    assert len(operations) >= 19
    for method, path in operations:
        url = re.sub(r"\{[^}]*\}", "x", path)
        body: dict[str, str] | None = {} if method in ("POST", "PATCH") else None
        for wrong in (None, "", JOIN_KEY, token(service.clock), READER_KEY + "x"):
            headers = {} if wrong is None else {"Authorization": f"Bearer {wrong}"}
            reply = await service.http.request(method, url, headers=headers, json=body)
            assert reply.status_code == 401, (method, path, wrong)
            assert reply.headers["content-type"] == "application/problem+json"
        reply = await service.http.request(method, url, headers={"Authorization": f"Bearer {READER_KEY}"}, json=body)
        reads_rooms = method == "GET" and re.fullmatch(r"/v1/admin/rooms(/\{name\})?", path)
        assert reply.status_code in ((200, 404) if reads_rooms else (403,)), (method, path)


async def test_without_keys_nobody_is_let_in() -> None:
    async with Service() as service:
        reply = await service.http.get("/v1/admin/stats", headers={"Authorization": f"Bearer {ROOT_KEY}"})
        assert reply.status_code == 401


async def test_a_post_that_comes_again_takes_effect_once(admin: httpx.AsyncClient, service: Service) -> None:
    peer = await service.enter(rooms=["r"])
    await peer.hear("joined")
    key = {"Idempotency-Key": "k1"}
    replies = [await admin.post("/rooms/r/publish", json={"data": 1}, headers=key) for _ in range(3)]
    assert {(reply.status_code, reply.text) for reply in replies} == {(202, '{"recipients":1}')}
    other = await admin.post("/rooms/r/publish", json={"data": 2}, headers=key)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    await admin.post("/rooms/r/publish", json={"data": 3})
    assert [(await peer.hear("message"))["data"] for _ in range(2)] == [1, 3]
    made = [await admin.post("/rooms", json={"name": "new"}, headers=key) for _ in range(2)]
    assert [reply.status_code for reply in made] == [201, 201], "the key counts for one path"
    stranger = {"Authorization": f"Bearer {READER_KEY}"} | key
    assert (await service.http.post("/v1/admin/rooms", json={"name": "new"}, headers=stranger)).status_code == 403
    long = {"Idempotency-Key": "k" * 129}
    assert (await admin.post("/rooms", json={"name": "x"}, headers=long)).status_code == 400


@contextlib.asynccontextmanager
async def _node(url: str, prefix: str) -> AsyncIterator[httpx.AsyncClient]:
    """Requests to a node on Redis, by the key for everything."""
    clock = RealClock()
    engine = RedisEngine(url, prefix, clock, os.urandom, Metrics("signal"), PATIENT)
    app = create_app(read_policy(configured(api_keys=KEYS)), clock, os.urandom, engine, instruments())
    await engine.start()
    transport, headers = httpx.ASGITransport(app), {"Authorization": f"Bearer {ROOT_KEY}"}
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
            yield client
    finally:
        await app.hub.close()
        await engine.stop()


async def test_a_post_that_comes_again_to_another_node_takes_effect_once(
    one_redis: RedisServer, redis_prefix: str
) -> None:
    async with _node(one_redis.url, redis_prefix) as one, _node(one_redis.url, redis_prefix) as other:
        hello = {"v": 1, "token": JOIN_KEY, "rooms": ["r"]}
        welcome = (await one.post("/v1/sessions", json=hello)).json()
        publish, key = "/v1/admin/rooms/r/publish", {"Idempotency-Key": "k1"}
        at_once = [node.post(publish, json={"data": 1}, headers=key) for node in (other, one)]
        replies = [*await asyncio.gather(*at_once), await one.post(publish, json={"data": 1}, headers=key)]
        assert {(reply.status_code, reply.text) for reply in replies} == {(202, '{"recipients":1}')}
        assert {reply.headers["content-type"] for reply in replies} == {"application/json"}
        wrong = await one.post(publish, json={"data": 2}, headers=key)
        assert (wrong.status_code, wrong.json()["code"]) == (409, "conflict")
        mine = {"Authorization": f"Bearer {welcome['key']}"}
        await other.post(publish, json={"data": 3})
        events = f"/v1/sessions/{welcome['sid']}/events"
        after, heard = f"{welcome['epoch']}.1", list[int]()
        while 3 not in heard:
            polled = (await one.get(events, params={"after": after, "wait": 5}, headers=mine)).json()
            after = polled["next"]
            heard += [event["data"] for event in polled["events"] if event["type"] == "message"]
        assert heard == [1, 3]


async def test_an_attempt_that_failed_is_made_again_at_another_node(one_redis: RedisServer, redis_prefix: str) -> None:
    async with _node(one_redis.url, redis_prefix) as one, _node(one_redis.url, redis_prefix) as other:
        path, key = "/v1/admin/rooms", {"Idempotency-Key": "k1"}
        assert (await other.post(path, json={"name": "r"})).status_code == 201
        assert (await one.post(path, json={"name": "r"}, headers=key)).status_code == 409
        assert (await other.delete(f"{path}/r")).status_code == 204
        for node in (other, one, other):
            assert (await node.post(path, json={"name": "r"}, headers=key)).status_code == 201


async def test_without_the_store_it_says_so(
    admin: httpx.AsyncClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(name: str) -> None:
        raise EngineUnavailableError("the store does not answer")

    monkeypatch.setattr(type(service.engine), "load", lambda self, name: away(name))
    reply = await admin.post("/rooms", json={"name": "r"})
    assert (reply.status_code, reply.json()["code"], reply.headers["retry-after"]) == (503, "engine_unavailable", "1")
