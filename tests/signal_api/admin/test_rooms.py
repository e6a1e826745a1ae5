"""Rooms by the admin API, and what their members notice over real WebSockets."""

from urllib.parse import quote

import httpx
import msgspec
import pytest

from signal_api.protocol.rooms import Member, Room, Terms
from tests.signal_api.service import Service
from tests.signal_api.worlds import token


async def test_a_room_lives_from_post_to_delete(admin: httpx.AsyncClient, service: Service) -> None:
    wanted = {
        "name": "a/b c",
        "capacity": 2,
        "password": "sesame",
        "meta": {"topic": 1},
        "roles": {"host": ["moderate"]},
    }
    made = await admin.post("/rooms", json=wanted)
    assert made.status_code == 201, made.text
    room = made.json()
    assert (room["name"], room["has_password"], room["kept"], room["open"]) == ("a/b c", True, True, True)
    assert "sesame" not in made.text
    assert "argon2" not in made.text
    assert (await admin.post("/rooms", json=wanted)).status_code == 409
    peer = await service.enter()
    await peer.say("join", room="a/b c")
    assert (await peer.hear("error"))["data"]["code"] == "wrong_password"
    await peer.say("join", data={"room": "a/b c", "password": "sesame"})
    assert (await peer.hear("joined"))["data"]["meta"] == {"topic": 1}
    seen = (await admin.get("/rooms/a%2Fb c")).json()
    assert [member["order"] for member in seen["members"]] == [1]
    assert (await admin.delete("/rooms/a/b c")).status_code == 204
    assert (await peer.hear("room.closed"))["data"] == {"reason": "closed"}
    assert (await admin.get("/rooms/a/b c")).status_code == 404
    assert (await admin.delete("/rooms/a/b c")).status_code == 404


async def test_what_a_patch_leaves_out_stays(admin: httpx.AsyncClient, service: Service) -> None:
    await admin.post("/rooms", json={"name": "r", "capacity": 3, "password": "p"})
    peer = await service.enter()
    await peer.say("join", data={"room": "r", "password": "p"})
    await peer.hear("joined")
    changed = (await admin.patch("/rooms/r", json={"meta": {"topic": "new"}})).json()
    assert (changed["capacity"], changed["has_password"], changed["meta"]) == (3, True, {"topic": "new"})
    assert (await peer.hear("room.updated"))["data"]["meta"] == {"topic": "new"}
    opened = (await admin.patch("/rooms/r", json={"password": None, "capacity": None, "kept": False})).json()
    assert (opened["capacity"], opened["has_password"], opened["kept"]) == (None, False, False)
    await peer.say("leave", id="l", room="r")
    await peer.hear("ok")
    assert (await admin.get("/rooms/r")).status_code == 404
    assert (await admin.patch("/rooms/r", json={})).status_code == 404


async def test_a_room_that_is_let_go_is_gone_and_that_is_no_error(admin: httpx.AsyncClient) -> None:
    await admin.post("/rooms", json={"name": "r"})
    let_go = await admin.patch("/rooms/r", json={"kept": False})
    assert (let_go.status_code, let_go.json()["open"], let_go.json()["kept"]) == (200, False, False)
    assert (await admin.get("/rooms/r")).status_code == 404
    unkept = await admin.post("/rooms", json={"name": "r", "kept": False})
    assert (unkept.status_code, unkept.json()["open"]) == (201, False)


async def test_rooms_come_a_page_at_a_time(admin: httpx.AsyncClient) -> None:
    for name in "cab":
        await admin.post("/rooms", json={"name": name})
    first = (await admin.get("/rooms", params={"limit": 2})).json()
    assert ([room["name"] for room in first["items"]], first["next"]) == (["a", "b"], "b")
    second = (await admin.get("/rooms", params={"limit": 2, "after": first["next"]})).json()
    assert ([room["name"] for room in second["items"]], second["next"]) == (["c"], None)


@pytest.mark.parametrize("text", [b"1e999", b"NaN", b'{"a":', b"9" * 5000, b"[" * 300 + b"]" * 300, b'"\xff"'])
async def test_what_nobody_can_read_is_shown_as_it_is_and_breaks_no_list(
    admin: httpx.AsyncClient, service: Service, text: bytes
) -> None:
    """As a version before the rules for it may have stored it."""
    await admin.post("/rooms", json={"name": "b", "meta": {"topic": 1}})
    member = Member("m", "s", "ann", 1, 1, msgspec.Raw(text))
    room = Room("a", {"m": member}, meta=msgspec.Raw(text), terms=Terms(kept=True))
    assert await service.engine.commit("a", (await service.engine.load("a")).version, room, ())
    reply = await admin.get("/rooms")
    assert reply.status_code == 200
    bad, good = reply.json()["items"]
    assert (good["name"], good["meta"], good["meta_text"]) == ("b", {"topic": 1}, None)
    for row in (bad, bad["members"][0]):
        assert row["meta"] is None
        assert row["meta_text"] == text[:2048].decode(errors="replace")
    assert (await admin.get("/rooms/a")).json()["meta_text"] == bad["meta_text"]
    assert (await admin.delete("/rooms/a")).status_code == 204


async def test_a_kick_by_a_back_end_sticks_and_a_ban_is_seen_and_taken_back(
    admin: httpx.AsyncClient, service: Service
) -> None:
    eve = await service.enter(token=token(service.clock, "eve", jti="t1"), rooms=["r"])
    member = (await eve.hear("joined"))["data"]["self"]["id"]
    kicked = await admin.post("/rooms/r/kick", json={"member": member, "seconds": 60})
    assert kicked.json() == {"members": [member], "guests": []}
    assert await eve.end() == 4006
    again = await service.enter(token=token(service.clock, "eve", jti="t1"))
    assert await again.end() == 4001
    other = await service.enter(token=token(service.clock, "eve", jti="t2"), rooms=["r"])
    banned = (await other.hear("error"))["data"]
    assert banned["code"] == "banned"
    (ban,) = (await admin.get("/rooms/r/bans")).json()["items"]
    assert (ban["user"], ban["by"], ban["until"]) == ("eve", "root", banned["details"]["until"])
    assert (await admin.get("/rooms/r")).json()["open"] is False
    assert (await admin.delete("/rooms/r/bans/eve")).status_code == 204
    assert (await admin.delete("/rooms/r/bans/eve")).status_code == 404
    await other.say("join", room="r")
    await other.hear("joined")


async def test_who_has_no_name_is_sent_out_and_named_as_one_who_may_come_back(
    admin: httpx.AsyncClient, service: Service
) -> None:
    """A ban holds for a name. The back end is told so, rather than left to believe that the guest is kept out."""
    guest = await service.enter(rooms=["r"])
    member = (await guest.hear("joined"))["data"]["self"]["id"]
    kicked = await admin.post("/rooms/r/kick", json={"member": member, "seconds": 60})
    assert kicked.json() == {"members": [member], "guests": [member]}
    assert await guest.end() == 4006
    assert (await admin.get("/rooms/r/bans")).status_code == 200
    again = await service.enter(rooms=["r"])
    await again.hear("joined")


async def test_a_user_is_kept_out_of_a_room_that_nobody_has_opened(admin: httpx.AsyncClient, service: Service) -> None:
    assert (await admin.post("/rooms/later/bans", json={"user": "eve"})).json() == {"members": [], "guests": []}
    eve = await service.enter(token=token(service.clock, "eve"), rooms=["later"])
    assert (await eve.hear("error"))["data"]["code"] == "banned"


@pytest.mark.parametrize("meta", [rb'"\ud800"', b"1e999", b"9" * 400 + b".5"])
async def test_meta_of_a_room_is_what_a_list_of_rooms_can_show(admin: httpx.AsyncClient, meta: bytes) -> None:
    await admin.post("/rooms", json={"name": "q"})
    for method, path, body in (("POST", "/rooms", b'{"name":"r","meta":%b}'), ("PATCH", "/rooms/q", b'{"meta":%b}')):
        reply = await admin.request(method, path, content=body % meta, headers={"Content-Type": "application/json"})
        assert (reply.status_code, reply.json()["code"]) == (400, "bad_request"), reply.text
    assert [room["meta"] for room in (await admin.get("/rooms")).json()["items"]] == [None]


@pytest.mark.parametrize("name", ["a/bans/b", "a/kick", "a/bans", "50%", "50%2F", "a/b c"])
async def test_a_name_is_a_name_when_its_slashes_are_encoded(
    admin: httpx.AsyncClient, service: Service, name: str
) -> None:
    path = f"/rooms/{quote(name, safe='')}"
    peer = await service.enter(rooms=[name])
    await peer.hear("joined")
    assert (await admin.get(path)).json()["name"] == name
    assert (await admin.patch(path, json={"capacity": 2})).json()["capacity"] == 2
    assert (await admin.post(f"{path}/bans", json={"user": name})).status_code == 200
    assert [ban["user"] for ban in (await admin.get(f"{path}/bans")).json()["items"]] == [name]
    assert (await admin.delete(f"{path}/bans/{quote(name, safe='')}")).status_code == 204
    assert (await admin.get(f"{path}/bans")).json()["items"] == []
    assert (await admin.delete(path)).status_code == 204
    assert (await peer.hear("room.closed"))["data"] == {"reason": "closed"}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/rooms", {}),
        ("POST", "/rooms", {"name": ""}),
        ("POST", "/rooms", {"name": "r", "capacity": 0}),
        ("POST", "/rooms", {"name": "r", "colour": "red"}),
        ("POST", "/rooms", {"name": "r", "meta": "x" * 3000}),
        ("POST", "/rooms", {"name": "r", "roles": {"host": ["reign"]}}),
        ("POST", "/rooms/r/kick", {}),
        ("POST", "/rooms/r/kick", {"member": "m", "user": "u"}),
        ("POST", "/rooms/r/bans", {"user": "u", "seconds": -1}),
        ("GET", "/rooms?limit=0", None),
    ],
)
async def test_what_makes_no_sense_is_a_problem_that_says_so(
    admin: httpx.AsyncClient, method: str, path: str, body: object
) -> None:
    reply = await admin.request(method, path, json=body)
    assert reply.status_code in (400, 413), reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.json()["detail"]
