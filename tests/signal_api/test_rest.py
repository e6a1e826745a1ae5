"""/v1/ice and /v1/info: shapes, credentials, who may have them and how often."""

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from fairlead.credentials import parse_username, password_for
from signal_api.relay.ice_servers import IceFormat, room_hash
from signal_api.rest import document_of_frames
from tests.signal_api.service import Peer, Service
from tests.signal_api.worlds import DEFAULTS, JOIN_KEY, TURN_SECRET, token

KEYED = {"Authorization": f"Bearer {JOIN_KEY}"}


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service() as running:
        yield running


def _credential(body: Any, shape: IceFormat) -> tuple[str, str]:
    match shape:
        case IceFormat.WEBRTC:
            server = body["iceServers"][1]
            return server["username"], server["credential"]
        case IceFormat.ARRAY:
            return body[1]["username"], body[1]["credential"]
        case IceFormat.AWS:
            return body["IceServerList"][0]["Username"], body["IceServerList"][0]["Password"]
        case _:
            return body["username"], body["password"]


@pytest.mark.parametrize("shape", IceFormat)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_every_format_carries_a_credential_that_verifies(service: Service, shape: IceFormat, method: str) -> None:
    reply = await service.http.request(method, f"/v1/ice?format={shape}", headers=KEYED)
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "no-store"
    username, password = _credential(reply.json(), shape)
    assert password == password_for(TURN_SECRET.encode(), username)
    parsed = parse_username(username)
    assert parsed is not None
    assert parsed.expires == int(service.clock.now().wall) + 3600
    assert f'username="{username}"; credential="{password}"' in reply.headers["link"]
    assert service.instruments.ice_issued[shape.value,] == 1


async def test_the_credential_is_the_subjects(service: Service) -> None:
    bearer = {"Authorization": f"Bearer {token(service.clock, 'ann')}"}
    body = (await service.http.get("/v1/ice", headers=bearer)).json()
    assert body["username"].endswith(":ann")


async def test_guests_of_several_sources_are_several_users(service: Service) -> None:
    """turnd counts by user: one who takes all that a user may have leaves the others theirs."""
    users = []
    for client in ("198.51.100.7", "198.51.100.7", "203.0.113.9"):
        async with service.http_from(client) as http:
            users.append((await http.get("/v1/ice", headers=KEYED)).json()["username"].partition(":")[2])
    assert users[0] == users[1] != users[2]
    assert all(re.fullmatch("guest-[a-z2-7]{10}", user) for user in users)


async def test_a_guests_name_leads_to_its_address_only_by_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """All addresses of IPv4 are tried within hours, and the names stand in logs that mask addresses."""
    users = set()
    for number in range(2):
        secret = json.dumps([{"name": "current", "value": f"{number}" * 32}])
        monkeypatch.setitem(DEFAULTS, "FAIRLEAD__AUTH__SECRETS", secret)
        async with Service() as service:
            users.add((await service.http.get("/v1/ice", headers=KEYED)).json()["username"].partition(":")[2])
    assert len(users) == 2


async def test_the_servers_are_named_as_the_client_found_us(service: Service) -> None:
    body = (await service.http.get("/v1/ice", headers=KEYED)).json()
    assert body["iceServers"][0]["urls"] == ["stun:127.0.0.1:3479"]
    assert body["iceServers"][1]["urls"] == ["turn:127.0.0.1:3478?transport=udp", "turn:127.0.0.1:3478?transport=tcp"]


async def test_public_host_is_named_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DEFAULTS, "FAIRLEAD__PUBLIC_HOST", "turn.example")
    async with Service(ice__region="eu-1") as service:
        body = (await service.http.get("/v1/ice", headers=KEYED)).json()
        assert body["iceServers"][0]["urls"] == ["stun:turn.example:3479"]
        assert body["region"] == "eu-1"
        assert (await service.http.get("/v1/info")).json()["regions"] == ["eu-1"]


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        (None, "unauthorized"),
        ("Bearer wrong", "unauthorized"),
        ("Bearer", "unauthorized"),
        (f"Basic {JOIN_KEY}", "unauthorized"),
        (JOIN_KEY, "unauthorized"),
    ],
)
async def test_who_gets_no_credential(service: Service, authorization: str | None, code: str) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    reply = await service.http.get("/v1/ice", headers=headers)
    assert reply.status_code == 401
    assert reply.headers["content-type"] == "application/problem+json"
    assert (reply.json()["code"], reply.json()["status"]) == (code, 401)
    assert "iceServers" not in reply.text
    assert "link" not in reply.headers


async def test_a_token_that_is_over_or_grants_no_ice(service: Service) -> None:
    expired = {"Authorization": f"Bearer {token(service.clock, lifetime=-1)}"}
    assert (await service.http.get("/v1/ice", headers=expired)).json()["code"] == "token_expired"
    no_ice = {"Authorization": f"Bearer {token(service.clock, can=['join'])}"}
    reply = await service.http.get("/v1/ice", headers=no_ice)
    assert (reply.status_code, reply.json()["code"]) == (403, "forbidden")


async def test_a_member_renews_its_credential_with_the_key_of_its_session(service: Service) -> None:
    peer = await service.enter(rooms=["r"])
    welcome = (await peer.hear("welcome"))["data"]
    first = (await peer.hear("joined"))["data"]["ice"]
    service.pass_time(10)
    bearer = {"Authorization": f"Bearer {welcome['key']}"}
    asked = {"sid": welcome["sid"], "room": "r"}
    fresh = (await service.http.post("/v1/ice", headers=bearer, json=asked)).json()
    assert fresh["username"].partition(":")[2].startswith(f"{room_hash('r')}.{welcome['sid']}.")
    assert fresh["username"] > first["username"]
    for wrong in ({"room": "other"}, {"sid": "s_other"}):
        reply = await service.http.post("/v1/ice", headers=bearer, json=asked | wrong)
        assert reply.status_code in (401, 403)
    for key in (JOIN_KEY, "wrong"):
        reply = await service.http.post("/v1/ice", headers={"Authorization": f"Bearer {key}"}, json=asked)
        assert reply.status_code == 401


async def _asked(service: Service, peer: Peer, welcome: Any) -> int:
    bearer = {"Authorization": f"Bearer {welcome['key']}"}
    asked = {"sid": welcome["sid"], "room": "r"}
    return (await service.http.post("/v1/ice", headers=bearer, json=asked)).status_code


async def test_a_token_of_a_room_says_who_may_relay_there(service: Service) -> None:
    """Not that of the session, which may allow more or less."""
    cases: list[tuple[dict[str, Any], dict[str, Any], int]] = [
        ({}, {"can": ["join", "create"]}, 403),
        ({"rooms": ["q"]}, {"rooms": ["r"]}, 200),
    ]
    for session, room, status in cases:
        peer = await service.enter(token=token(service.clock, **session))
        welcome = (await peer.hear("welcome"))["data"]
        await peer.say("join", data={"room": "r", "token": token(service.clock, **room)})
        await peer.hear("joined")
        assert await _asked(service, peer, welcome) == status


async def test_a_role_that_may_not_relay_is_given_nothing_here_either(service: Service) -> None:
    first = await service.enter(token=token(service.clock, "opener"))
    await first.say("join", data={"room": "r", "create": {"roles": {"viewer": ["publish"]}}})
    await first.hear("joined")
    viewer = await service.enter(token=token(service.clock, role="viewer"))
    welcome = (await viewer.hear("welcome"))["data"]
    await viewer.say("join", data={"room": "r"})
    assert "ice" not in (await viewer.hear("joined"))["data"]
    assert await _asked(service, viewer, welcome) == 403


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def test_a_credential_outside_of_rooms_ends_with_its_token(service: Service) -> None:
    short = (await service.http.get("/v1/ice", headers=_bearer(token(service.clock, "ann", lifetime=60)))).json()
    assert short["ttl"] == 60
    assert short["username"] == f"{int(service.clock.now().wall) + 60}:ann"
    long = (await service.http.get("/v1/ice", headers=_bearer(token(service.clock, "ann", lifetime=9000)))).json()
    assert long["ttl"] == 3600


@pytest.mark.parametrize("budget", [{"total_bytes": 1000}, {"session_bytes": 1000}, {"bandwidth": 10}])
async def test_a_token_that_bounds_what_is_relayed_gets_a_credential_in_rooms_alone(
    service: Service, budget: dict[str, int]
) -> None:
    bounded = token(service.clock, "ann", relay=budget)
    reply = await service.http.get("/v1/ice", headers=_bearer(bounded))
    assert (reply.status_code, reply.json()["code"]) == (403, "forbidden")
    assert "join a room" in reply.json()["detail"]
    peer = await service.enter(token=bounded, rooms=["r"])
    welcome = (await peer.hear("welcome"))["data"]
    await peer.hear("joined")
    asked = {"sid": welcome["sid"], "room": "r"}
    assert "username" in (await service.http.post("/v1/ice", headers=_bearer(welcome["key"]), json=asked)).json()


async def test_credentials_are_given_only_so_often(service: Service) -> None:
    for _ in range(30):
        assert (await service.http.get("/v1/ice", headers=KEYED)).status_code == 200
    reply = await service.http.get("/v1/ice", headers=KEYED)
    assert (reply.status_code, reply.json()["code"], reply.headers["retry-after"]) == (429, "rate_limited", "2")
    other = {"Authorization": f"Bearer {token(service.clock, 'ann')}"}
    assert (await service.http.get("/v1/ice", headers=other)).status_code == 200
    service.pass_time(2)
    assert (await service.http.get("/v1/ice", headers=KEYED)).status_code == 200


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("?format=xml", None),
        ("", b"{"),
        ("", b"[]"),
        ("", b'{"sid":7,"room":"r"}'),
        ("", b'{"sid":"s"}'),
        ("", b"[" * 60000),
    ],
)
async def test_what_is_not_understood_is_a_problem(service: Service, query: str, body: bytes | None) -> None:
    headers = KEYED | {"Content-Type": "application/json"}
    reply = await service.http.post(f"/v1/ice{query}", headers=headers, content=body)
    assert reply.status_code == 400
    assert reply.json()["code"] == "bad_request"


async def test_info(service: Service) -> None:
    info = (await service.http.get("/v1/info")).json()
    assert info["protocol"] == ["sig.v1"]
    assert info["transports"] == ["websocket", "sse", "poll", "peerjs"]
    assert info["ice_formats"] == [shape.value for shape in IceFormat]


async def test_openapi_knows_what_is_answered(service: Service) -> None:
    document = (await service.http.get("/v1/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    operations = document["paths"]["/v1/ice"]
    assert set(operations) == {"get", "post"}
    for operation in operations.values():
        assert operation["security"] == [{"HTTPBearer": []}]
        assert set(operation["responses"]) == {"200", "4XX", "401", "403", "429"}
        for status, response in operation["responses"].items():
            kind = "application/json" if status == "200" else "application/problem+json"
            assert list(response["content"]) == [kind]
    (shape,) = (p for p in operations["get"]["parameters"] if p["name"] == "format")
    assert json.dumps(shape).count("webrtc") >= 1


async def test_what_is_not_there(service: Service) -> None:
    missing = await service.http.get("/v1/nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    wrong = await service.http.delete("/v1/ice", headers=KEYED)
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize("path", ["/../config.py", "/%2e%2e/config.py", "/..%2fconfig.py", "/static/../../app.py"])
async def test_no_path_leads_out_of_the_pages(service: Service, path: str) -> None:
    request = httpx.Request("GET", f"http://{service.authority}{path}")
    request.url = request.url.copy_with(raw_path=path.encode())
    reply = await service.http.send(request)
    assert reply.status_code == 404


def test_the_description_of_frames_is_made_once() -> None:
    assert document_of_frames() is document_of_frames()
