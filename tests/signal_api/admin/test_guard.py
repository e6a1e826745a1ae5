"""Keys and scopes of the admin API, and POSTs that come twice."""

import re

import httpx
import pytest

from signal_api.protocol.refusals import EngineUnavailableError
from tests.signal_api.admin.conftest import READER_KEY, ROOT_KEY
from tests.signal_api.service import Service
from tests.signal_api.worlds import JOIN_KEY, token

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


async def test_without_the_store_it_says_so(
    admin: httpx.AsyncClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(name: str) -> None:
        raise EngineUnavailableError("the store does not answer")

    monkeypatch.setattr(type(service.engine), "load", lambda self, name: away(name))
    reply = await admin.post("/rooms", json={"name": "r"})
    assert (reply.status_code, reply.json()["code"], reply.headers["retry-after"]) == (503, "engine_unavailable", "1")
