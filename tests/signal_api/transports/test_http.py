"""Sessions over HTTP: opening, sending, ending, and who may."""

import asyncio
from typing import Any

import pytest

from fairlead.link import Allocated
from signal_api.clients import Client
from tests.signal_api.service import Service
from tests.signal_api.transports.web import STREAM, Web, web
from tests.signal_api.worlds import JOIN_KEY, token


def _client(service: Service, session: Web) -> Client:
    client = service.hub.roster.get(session.welcome["sid"])
    assert client is not None
    return client


async def test_opening_answers_with_the_welcome(service: Service) -> None:
    reply = await service.http.post("/v1/sessions", json={"v": 1, "token": JOIN_KEY})
    assert reply.status_code == 201
    welcome = reply.json()
    assert reply.headers["location"] == f"/v1/sessions/{welcome['sid']}"
    assert reply.headers["cache-control"] == "no-store"
    assert not welcome["resumed"]
    assert "set-cookie" not in reply.headers
    assert service.instruments.sessions_opened["poll",] == 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "bad_request"),
        (b"\xff", 400, "bad_request"),
        (b"[" * 60000, 400, "bad_request"),
        (b'{"v":2}', 400, "unsupported"),
        (b'{"v":1}', 401, "unauthorized"),
        (b'{"v":1,"token":"wrong"}', 401, "unauthorized"),
    ],
)
async def test_a_wrong_hello(service: Service, body: bytes, status: int, code: str) -> None:
    reply = await service.http.post("/v1/sessions", content=body)
    assert (reply.status_code, reply.json()["code"]) == (status, code)
    assert reply.headers["content-type"] == "application/problem+json"


async def test_sources_connect_at_a_rate() -> None:
    async with Service(limits__sessions_per_source=1, limits__connects_per_second=1) as service:
        await service.http.post("/v1/sessions", json={"v": 1, "token": JOIN_KEY})
        reply = await service.http.post("/v1/sessions", json={"v": 1, "token": JOIN_KEY})
        assert (reply.status_code, reply.json()["code"]) == (429, "rate_limited")
        assert "retry-after" in reply.headers


async def test_a_post_that_resumes_replaces_the_websocket(service: Service) -> None:
    peer = await service.enter()
    welcome = (await peer.hear("welcome"))["data"]
    resume = {"sid": welcome["sid"], "key": welcome["key"], "after": 1}
    reply = await service.http.post("/v1/sessions", json={"v": 1, "resume": resume})
    assert reply.status_code == 201
    assert (reply.json()["resumed"], reply.json()["sid"]) == (True, welcome["sid"])
    assert await peer.end() == 4009


async def test_frames_are_handled_in_order_and_each_has_its_result(session: Web) -> None:
    frames: list[dict[str, Any]] = [
        {"type": "join", "id": "a", "data": {"room": "q"}},
        {"type": "message", "id": "b", "room": "q", "to": "*", "data": 1},
        {"type": "message", "id": "c", "room": "elsewhere", "to": "*"},
        {"type": "Not A Type", "id": "d"},
        {"type": "ping"},
    ]
    reply = await session.post(*frames)
    assert reply.status_code == 202
    results = reply.json()["results"]
    assert [(result["ok"], result.get("re")) for result in results] == [
        (True, "a"), (True, "b"), (False, "c"), (False, "d"), (True, None),
    ]  # fmt: skip
    assert results[2]["error"]["code"] == "room_not_found"
    assert not results[2]["error"]["retryable"]


async def test_a_post_repeated_three_times_takes_effect_once(service: Service, session: Web) -> None:
    async with web(service, rooms=["r"]) as sender:
        frame = {"type": "message", "id": "once", "room": "r", "to": "*", "data": "hello"}
        replies = await asyncio.gather(*(sender.post(frame) for _ in range(3)))
        assert [reply.json() for reply in replies] == [{"results": [{"ok": True, "re": "once"}]}] * 3
        service.pass_time(0.1)
        batch = await session.poll(after=session.at(2), wait=0)
        assert [event["type"] for event in batch["events"]].count("message") == 1


async def test_a_repeated_post_that_was_refused_is_refused_alike(session: Web) -> None:
    frame = {"type": "message", "id": "no", "room": "elsewhere", "to": "*"}
    first, second = await session.post(frame), await session.post(frame)
    assert first.json() == second.json()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'"text"', 400),
        (b"[1]", 400),
        (b'[{"type":"ping"},', 400),
        (b'{"type":"ping"} {"type":"ping"}', 400),
        (b"[" + b",".join([b'{"type":"ping"}'] * 33) + b"]", 400),
        (b'{"type":"x.a","data":' + b"[" * 32 + b"]" * 32 + b"}", 400),
        (b'{"type":"x.a","data":"' + b"x" * 65536 + b'"}', 413),
        (b'{"type":"x.a","data":"' + b"x" * 200000 + b'"}', 413),
        (b'{"type":"x.a","data":"\xff"}', 400),
    ],
)
async def test_a_body_that_holds_no_frames_has_no_effect(
    service: Service, session: Web, body: bytes, status: int
) -> None:
    reply = await session.http.post(f"{session.path}/messages", headers=session.key, content=body)
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json")
    assert _client(service, session).connection is not None


async def test_one_frame_needs_no_array(session: Web) -> None:
    reply = await session.http.post(f"{session.path}/messages", headers=session.key, json={"type": "ping"})
    assert reply.json() == {"results": [{"ok": True}]}


async def test_frames_have_a_rate_and_who_does_not_slow_down_is_closed() -> None:
    async with Service(limits__frame_burst=2, limits__frames_per_second=1) as service, web(service) as session:
        results = (await session.post(*[{"type": "x.a", "id": str(n)} for n in range(4)])).json()["results"]
        assert [result.get("error", {}).get("code") for result in results][2:] == ["rate_limited"] * 2
        reply = await session.post({"type": "ping"})
        assert (reply.status_code, reply.json()["code"]) == (429, "rate_limited")
        assert service.instruments.closes["4103",] == 1


@pytest.mark.parametrize("verb", ["delete", "close", "beacon"])
async def test_leaving_is_told_at_once_as_leaving(service: Service, session: Web, verb: str) -> None:
    async with web(service, rooms=["r"]) as leaver:
        service.pass_time(0.1)
        async with leaver.stream() as stream:
            await stream.hear("joined")
            if verb == "delete":
                reply = await leaver.http.delete(leaver.path, headers=leaver.key)
            elif verb == "close":
                reply = await leaver.http.post(f"{leaver.path}/close", headers=leaver.key)
            else:
                reply = await leaver.http.post(f"{leaver.path}/close", json={"key": leaver.welcome["key"]})
            assert reply.status_code == 204
            assert (await stream.hear("close")).frame["data"]["code"] == 1000
        await service.hub.settled()
        service.pass_time(0.1)
        events = (await session.poll(after=session.at(2), wait=0))["events"]
        assert events[-1]["type"] == "member.left"
        assert events[-1]["data"]["members"][0]["reason"] == "leave"
        gone = await leaver.post({"type": "ping"})
        assert (gone.status_code, gone.json()["code"], gone.json()["retryable"]) == (410, "session_expired", False)


@pytest.mark.parametrize(
    ("method", "below"), [("GET", "/events"), ("POST", "/messages"), ("POST", "/close"), ("DELETE", "")]
)
async def test_without_the_key_a_session_is_not_there(session: Web, method: str, below: str) -> None:
    keyless = await session.http.request(method, session.path + below)
    assert (keyless.status_code, keyless.json()["code"]) == (401, "unauthorized")
    wrong = {"Authorization": "Bearer wrong"}
    here = await session.http.request(method, session.path + below, headers=wrong)
    nowhere = await session.http.request(method, "/v1/sessions/s_unknown" + below, headers=wrong)
    assert (here.status_code, here.json()) == (nowhere.status_code, nowhere.json())
    assert here.status_code == 410


async def test_a_session_whose_token_ended_needs_a_fresh_one(service: Service) -> None:
    async with web(service, token=token(service.clock, lifetime=60)) as session:
        service.pass_time(60)
        reply = await session.http.get(f"{session.path}/events", headers=session.key)
        assert (reply.status_code, reply.json()["code"]) == (401, "token_expired")
        resume = {"sid": session.welcome["sid"], "key": session.welcome["key"], "after": session.at(1)}
        fresh = {"v": 1, "token": token(service.clock), "resume": resume}
        assert (await session.http.post("/v1/sessions", json=fresh)).json()["resumed"]
        assert (await session.http.get(f"{session.path}/events?wait=0", headers=session.key)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/sessions", 405),
        ("PUT", "/v1/sessions", 405),
        ("GET", "/v1/sessions/s_a", 405),
        ("GET", "/v1/sessions/s_a/messages", 405),
        ("GET", "/v1/sessions/s_a/nothing", 404),
        ("GET", "/v1/sessionsx", 404),
    ],
)
async def test_other_paths_and_verbs(service: Service, method: str, path: str, status: int) -> None:
    assert (await service.http.request(method, path)).status_code == status


async def test_pages_of_others_open_nothing_and_listed_ones_may(service: Service) -> None:
    evil = await service.http.post("/v1/sessions", json={"v": 1}, headers={"Origin": "http://evil.example"})
    assert (evil.status_code, evil.json()["code"]) == (403, "origin_not_allowed")
    async with Service(origins=["https://app.example"]) as listed:
        origin = {"Origin": "https://app.example", "Access-Control-Request-Method": "DELETE"}
        preflight = await listed.http.options("/v1/sessions/s_a", headers=origin)
        assert preflight.status_code == 204
        assert "DELETE" in preflight.headers["access-control-allow-methods"]
        assert "last-event-id" in preflight.headers["access-control-allow-headers"]


@pytest.mark.parametrize("way", ["poll", "sse"])
async def test_a_room_of_the_hello_that_is_refused_is_told_to_who_reads_later(service: Service, way: str) -> None:
    hello = {"v": 1, "token": token(service.clock, rooms=["mine"]), "rooms": ["mine", "theirs"]}
    async with web(service, **hello) as session:
        if way == "sse":
            async with session.stream(after=session.at(1)) as stream:
                told = (await stream.hear("error")).frame["data"]
        else:
            events = (await session.poll(after=session.at(1)))["events"]
            (told,) = [frame["data"] for frame in events if frame["type"] == "error"]
        assert (told["code"], told["details"]["room"]) == ("forbidden", "theirs")


async def test_on_https_a_cookie_may_hold_the_key() -> None:
    async with Service(trusted_proxies=["127.0.0.1"]) as service, web(service) as session:
        secure = {"X-Forwarded-Proto": "https"}
        opened = await session.http.post("/v1/sessions?cookie=1", json={"v": 1, "token": JOIN_KEY}, headers=secure)
        path = opened.headers["location"]
        name, _, attributes = opened.headers["set-cookie"].partition("; ")
        assert name.startswith("__Host-sig-s_")
        assert attributes == "Path=/; Secure; HttpOnly; SameSite=Strict"
        cookie = {"Cookie": name}
        events = f"{path}/events?wait=0"
        assert (await session.http.get(events, headers=secure | cookie)).status_code == 200
        assert (await session.http.get(events, headers=cookie)).status_code == 401, "http has no such cookie"
        posted = await session.http.post(f"{path}/messages", headers=secure | cookie, json={"type": "ping"})
        assert posted.status_code == 401, "a cookie brings no frames"
        closed = await session.http.post(f"{path}/close", headers=secure | cookie)
        assert closed.status_code == 204
        emptied, _, attributes = closed.headers["set-cookie"].partition("; ")
        assert (emptied, "Max-Age=0" in attributes) == (f"{name.partition('=')[0]}=", True)
        unsure = await session.http.post("/v1/sessions?cookie=true", json={"v": 1, "token": JOIN_KEY}, headers=secure)
        assert (unsure.status_code, unsure.json()["detail"]) == (400, "cookie is 1, or left out")


async def test_requests_are_counted_without_ids(service: Service, session: Web) -> None:
    await session.post({"type": "ping"})
    await session.http.get(f"{session.path}/events", headers=STREAM)
    counts = service.instruments.http_requests
    assert counts["/v1/sessions", "2xx"] == 1
    assert counts["/v1/sessions/{sid}/messages", "2xx"] == 1
    assert counts["/v1/sessions/{sid}/events", "4xx"] == 1


@pytest.mark.logs_error("a request failed")
async def test_a_bug_is_a_problem_without_its_details(
    service: Service, session: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.hub.roster, "holder", None)
    reply = await session.http.delete(session.path, headers=session.key)
    assert (reply.status_code, reply.json()["code"]) == (500, "internal")


async def test_a_session_may_ask_what_turnd_saw_of_it(service: Service, session: Web) -> None:
    room = {"type": "join", "data": {"room": "q"}}
    await session.post(room)
    client = _client(service, session)
    username = f"1763798700:{client.session.rooms['q'].turn_user}"
    service.hub.sightings.note(Allocated(7, username, "udp", "198.51.100.7:5000", "203.0.113.5:50000"), 1)
    reply = await session.http.get(f"{session.path}/relay", headers=session.key)
    view = reply.json()
    (seen,) = [one for one in view["rooms"] if one["room"] == "q"]
    assert (reply.status_code, view["linked"], reply.headers["cache-control"]) == (200, False, "no-store")
    assert [(relay["client"], relay["relayed"]) for relay in seen["relays"]] == [
        ("198.51.100.7:5000", "203.0.113.5:50000")
    ]
    assert (await session.http.get(f"{session.path}/relay")).status_code == 401


async def test_what_cannot_be_done_says_what_can(service: Service, session: Web) -> None:
    for path, allowed in [("/v1/sessions", "POST"), (session.path, "DELETE"), (f"{session.path}/events", "GET")]:
        reply = await session.http.request("TRACE", path, headers=session.key)
        assert (reply.status_code, reply.headers["allow"]) == (405, allowed)
    assert (await session.http.request("TRACE", "/v1/ice")).headers["allow"] == "GET, POST"
    reply = await session.http.put(session.path)
    assert (reply.status_code, reply.headers["allow"]) == (405, "DELETE")
