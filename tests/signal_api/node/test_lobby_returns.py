"""Rooms of those who were away, and of those whose tokens change: who comes back as what, and where to."""

import asyncio
from typing import Any

import pytest

from signal_api.engine.contract import Stored
from signal_api.protocol.moderation import Alteration
from signal_api.protocol.refusals import EngineUnavailableError
from signal_api.protocol.revocations import Revocation, RevocationKind
from tests.signal_api.socketless import Line, Node, Seat
from tests.signal_api.worlds import token


def _resumed(seat: Seat, after: int) -> dict[str, Any]:
    return {"sid": seat.client.sid, "key": seat.welcome["key"], "after": f"{seat.welcome['epoch']}.{after}"}


async def _unanswered(name: str) -> Stored:
    raise EngineUnavailableError("the store does not answer")


async def test_who_comes_back_with_a_token_for_less_leaves_the_other_rooms() -> None:
    node = Node()
    seat, other = await node.enter(token=token(node.clock, rooms=["a", "b"])), await node.enter(rooms=["a", "b"])
    for room in ("a", "b"):
        await seat.join(room)
    await node.pass_time(1)
    seat.lose()
    other.news()
    fresh = token(node.clock, rooms=["b"], role="host", lifetime=6000)
    back = await node.enter(token=fresh, resume=_resumed(seat, after=3))
    welcome, closed = back.news()
    assert welcome["data"]["resumed"]
    assert (closed["type"], closed["room"], closed["data"]) == ("room.closed", "a", {"reason": "not_granted"})
    assert list(back.client.session.rooms) == ["b"]
    await node.pass_time(0.05)
    assert [(frame["type"], frame["room"]) for frame in other.news()] == [("member.left", "a"), ("member.updated", "b")]
    stored = (await node.engine.load("b")).room
    assert stored is not None
    (member,) = (member for member in stored.members.values() if member.sid == seat.client.sid)
    assert (member.role, member.expires) == ("host", back.client.grants.expires)
    await other.say("message", room="a", to="*", data="not for her")
    assert "message" not in back.types()


async def test_who_begins_anew_while_a_frame_of_its_own_is_done_is_shown_its_rooms_all_the_same() -> None:
    node = Node()
    seat = await node.enter()
    await seat.join("r")
    joining = asyncio.create_task(seat.say("join", data={"room": "q", "create": {"password": "secret"}}))
    await asyncio.sleep(0)  # From here on the password is hashed.
    seat.lose()
    line = Line()
    assert node.try_to_enter(line, resume=_resumed(seat, 2) | {"after": "aaaaaaaa.2"}) is seat.client
    returning = asyncio.create_task(node.dispatch.begin(seat.client))
    await asyncio.gather(joining, returning)
    assert [(frame["type"], frame.get("room")) for frame in line.frames] == [
        ("welcome", None),
        ("joined", "q"),
        ("joined", "r"),
        ("joined", "q"),
    ]
    await node.dispatch.begin(seat.client)
    assert len(line.frames) == 4, "once"


async def test_a_room_that_its_back_end_closed_is_not_brought_back_by_who_was_away() -> None:
    node = Node()
    steward = node.dispatch.verbs.steward
    await steward.establish("r", Alteration(kept=True, password="old"))
    seat = await node.enter()
    await seat.join("r", password="old")
    seat.lose()
    await node.pass_time(11)
    await steward.close("r")
    back = await node.enter(resume=_resumed(seat, 2))
    (_, closed) = back.news()
    assert (closed["type"], closed["room"], closed["data"]) == ("room.closed", "r", {"reason": "closed"})
    assert node.engine.census() == (0, 0)


async def test_a_room_comes_back_with_what_held_in_it_at_last() -> None:
    node = Node()
    seat, other = await node.enter(), await node.enter()
    await seat.join("r", create={"password": "old"})
    await node.dispatch.verbs.steward.alter("r", Alteration(password="new", capacity=7))
    seat.lose()
    await node.pass_time(11)
    assert node.engine.census() == (0, 0)
    await node.enter(resume=_resumed(seat, 2))
    assert node.engine.census() == (1, 1)
    await other.say("join", data={"room": "r", "password": "old"})
    assert other.news()[-1]["data"]["code"] == "wrong_password"
    assert (await other.join("r", password="new"))["limits"]["members"] == 7


@pytest.mark.parametrize("away_at", ["the end of the token", "its revocation"])
async def test_a_token_that_ends_while_the_store_is_away_ends_all_the_same(
    monkeypatch: pytest.MonkeyPatch, away_at: str
) -> None:
    node = Node()
    seat, other = await node.enter(), await node.enter()
    await seat.join("r", token=token(node.clock, lifetime=60 if "end" in away_at else 600, jti="t"))
    await other.join("r")
    with monkeypatch.context() as outage:
        outage.setattr(node.engine, "load", _unanswered)
        now = node.clock.now().wall
        await node.engine.revoke(Revocation(RevocationKind.TOKEN, "t" if "rev" in away_at else "u", now, now + 600))
        for _ in range(6):
            await node.pass_time(10.5)
            for client in (seat.client, other.client):
                client.last_heard = node.clock.now().monotonic
        assert "r" in seat.client.session.rooms
    await node.pass_time(1)
    await node.pass_time(1)
    assert seat.news()[-1]["data"] == {"reason": "not_granted"}
    assert node.engine.census() == (1, 1)
    assert (seat.line.closed, seat.client.lapse) == (None, None)


async def test_a_revocation_changes_nothing_for_those_whom_it_does_not_concern() -> None:
    node = Node()
    seat = await node.enter(token=token(node.clock, rooms=["r"]), rooms=["r"])
    await seat.join("q", token=token(node.clock, jti="t"))
    before = {name: (await node.engine.load(name)).version for name in ("r", "q")}
    now = node.clock.now().wall
    await node.engine.revoke(Revocation(RevocationKind.TOKEN, "another's", now, now + 600))
    await node.hub.settled()
    await seat.say("token", id="t", data={"token": token(node.clock, rooms=["r"])})
    assert seat.types()[-1] == "ok"
    assert {name: (await node.engine.load(name)).version for name in ("r", "q")} == before


async def test_who_comes_back_while_the_store_is_away_is_in_its_rooms_once_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = Node()
    seat, other = await node.enter(token=token(node.clock, rooms=["a", "b"])), await node.enter(rooms=["a"])
    await seat.join("a")
    await seat.join("b")
    await seat.join("c", token=token(node.clock, rooms=["c"], lifetime=20))
    seat.lose()
    await node.pass_time(11)
    assert node.engine.census() == (1, 1)
    with monkeypatch.context() as outage:
        outage.setattr(node.engine, "load", _unanswered)
        back = await node.enter(token=token(node.clock, rooms=["a"]), resume=_resumed(seat, 4))
        for _ in range(3):
            await node.pass_time(1)
        assert [frame["type"] for frame in back.news()] == ["welcome", "error"], "it is told once"
    other.news()
    await node.pass_time(1)
    heard = [(frame["type"], frame["room"]) for frame in back.news()]
    assert heard == [("room.closed", "b"), ("joined", "a"), ("joined", "c")]
    await node.pass_time(1)
    assert (other.types(), back.types()) == (["member.joined"], []), "once"
    await node.pass_time(5)
    assert (back.types(), list(back.client.session.rooms)) == (["room.closed"], ["a"]), "the token of c is over"


async def test_however_often_somebody_reconnects_its_way_back_is_tried_once_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node, asked = Node(), 0

    async def unanswered(name: str) -> Stored:
        nonlocal asked
        asked += 1
        return await _unanswered(name)

    seat = await node.enter(rooms=["r"])
    seat.lose()
    await node.pass_time(11)
    with monkeypatch.context() as outage:
        outage.setattr(node.engine, "load", unanswered)
        for _ in range(5):
            back = await node.enter(resume=_resumed(seat, 2))
        assert asked == 5
        for seconds in range(1, 4):
            await node.pass_time(1)
            assert asked == 5 + seconds
    back.news()
    await node.pass_time(1)
    assert back.types() == ["joined"]


async def test_who_begins_anew_while_the_store_is_away_is_shown_its_rooms_once_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = Node()
    seat = await node.enter(rooms=["r"])
    seat.lose()
    with monkeypatch.context() as outage:
        outage.setattr(node.engine, "load", _unanswered)
        back = await node.enter(resume=_resumed(seat, 2) | {"after": "aaaaaaaa.2"})
        back.lose()
        await node.pass_time(1)
        back = await node.enter(resume=_resumed(seat, 2) | {"after": back.welcome["epoch"] + ".1"})
        assert [frame["type"] for frame in back.news()] == ["welcome", "error"]
    await node.pass_time(1)
    assert back.types() == ["joined"]
