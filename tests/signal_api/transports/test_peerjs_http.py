"""What PeerJS asks for by HTTP."""

import uuid

import pytest

from signal_api.transports.peerjs_http import is_request, is_socket
from tests.signal_api.service import Service
from tests.signal_api.transports.test_peerjs import enter


@pytest.mark.parametrize("key", ["peerjs", "wrong"])
async def test_an_id_of_its_own(key: str) -> None:
    """As in PeerServer, whether the key is right is said on the WebSocket, where the client understands it."""
    async with Service() as service:
        ids = {(await service.http.get(f"/{key}/id?ts=1&version=1.5.5")).text for _ in range(3)}
        assert len(ids) == 3
        assert all(uuid.UUID(one).version == 4 for one in ids)
        assert service.instruments.http_requests["peerjs", "2xx"] == 3


async def test_peers_are_not_listed_unless_it_is_allowed() -> None:
    async with Service() as service:
        assert (await service.http.get("/peerjs/peers")).status_code == 401
    async with Service(peerjs__open=True, peerjs__discovery=True) as service:
        assert (await service.http.get("/peerjs/peers")).json() == []
        await enter(service, "alice")
        await enter(service, "bob")
        assert (await service.http.get("/peerjs/peers?ts=1")).json() == ["alice", "bob"]
        assert (await service.http.get("/other/peers")).status_code == 404


async def test_a_page_elsewhere_may_ask_when_it_is_on_the_list() -> None:
    async with Service(origins=["https://app.example"]) as service:
        reply = await service.http.get("/peerjs/id", headers={"Origin": "https://app.example"})
        assert (reply.status_code, reply.headers["access-control-allow-origin"]) == (200, "https://app.example")
        foreign = await service.http.get("/peerjs/id", headers={"Origin": "https://evil.example"})
        assert (foreign.status_code, foreign.json()["code"]) == (403, "origin_not_allowed")


async def test_a_path_of_its_own() -> None:
    async with Service(peerjs__path="/myapp/") as service:
        assert (await service.http.get("/myapp/")).json()["name"] == "Fairlead"
        assert (await service.http.get("/myapp/peerjs/id")).status_code == 200
        assert (await service.http.get("/peerjs/id")).status_code == 404
        assert (await service.http.post("/myapp/peerjs/id")).status_code == 405


async def test_no_keys_no_gateway() -> None:
    async with Service(peerjs__keys=[]) as service:
        assert (await service.http.get("/peerjs/id")).status_code == 404
        assert "peerjs" not in (await service.http.get("/v1/info")).json()["transports"]


@pytest.mark.parametrize(
    ("top", "path", "request_", "socket"),
    [
        ("/", "/", False, False),
        ("/", "/peerjs", False, True),
        ("/", "/peerjs/id", True, False),
        ("/", "/a/b/id", False, False),
        ("/", "/id", False, False),
        ("/", "/v1/ice", False, False),
        ("/x/", "/x/", True, False),
        ("/x/", "/x/peerjs", False, True),
        ("/x/", "/peerjs", False, False),
        ("/x/", "/x/k/peers", True, False),
    ],
)
async def test_paths(top: str, path: str, request_: bool, socket: bool) -> None:
    async with Service(peerjs__path=top) as service:
        policy = service.hub.policy
    assert (is_request(policy, path), is_socket(policy, path)) == (request_, socket)
