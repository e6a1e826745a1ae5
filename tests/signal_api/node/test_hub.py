"""Sessions: who gets in, coming back, being replaced, and being sent away."""

import asyncio
from typing import Any

import pytest

from signal_api.clients import Client
from signal_api.protocol.effects import LeaveReason
from signal_api.protocol.refusals import CloseCode, Closing
from tests.signal_api.socketless import Line, Node, Seat
from tests.signal_api.worlds import JOIN_KEY, token


def _resume(seat: Seat, after: int | str, **more: Any) -> dict[str, Any]:
    return {"sid": seat.client.sid, "key": seat.welcome["key"], "after": after} | more


def _refused(node: Node, **hello: Any) -> CloseCode:
    closing = node.try_to_enter(Line(), **hello)
    assert isinstance(closing, Closing)
    return closing.code


async def test_welcome_is_the_first_frame_and_says_what_to_know() -> None:
    node = Node()
    seat = await node.enter()
    (frame,) = seat.news()
    assert (frame["type"], frame["seq"]) == ("welcome", 1)
    welcome = frame["data"]
    assert welcome["sid"] == seat.client.sid
    assert len(welcome["epoch"]) == 8
    assert (welcome["ping_ms"], welcome["timeout_ms"]) == (25000, 10000)
    assert not welcome["resumed"]
    assert "reason" not in welcome
    assert welcome["limits"]["frame_bytes"] == 65536
    assert welcome["server_time"] == round(node.clock.now().wall * 1000)


async def test_who_is_not_let_in() -> None:
    node = Node()
    assert _refused(node, v=2) is CloseCode.UNSUPPORTED_VERSION
    assert _refused(node, token="wrong") is CloseCode.UNAUTHORIZED
    assert _refused(node, token=None) is CloseCode.UNAUTHORIZED
    assert _refused(node, token=token(node.clock, lifetime=-1)) is CloseCode.TOKEN_EXPIRED
    assert len(node.hub.roster) == 0
    assert {what: count for (what,), count in node.instruments.auth_failures.items() if count} == {
        "malformed": 1,
        "missing": 1,
        "expired": 1,
    }


async def test_no_more_sessions_than_fit() -> None:
    node = Node(limits__sessions_per_source=2, limits__sessions=3)
    for _ in range(2):
        assert isinstance(node.try_to_enter(Line()), Client)
    assert isinstance(node.try_to_enter(Line()), Closing)
    assert isinstance(node.try_to_enter(Line(), source=b"t"), Client)
    third = node.try_to_enter(Line(), source=b"u")
    assert isinstance(third, Closing)
    assert third.code is CloseCode.OVER_CAPACITY


async def test_a_user_has_so_many_sessions_and_those_away_give_way() -> None:
    node = Node(limits__sessions_per_user=2)
    first = await node.enter(token=token(node.clock, "ann"))
    await node.enter(token=token(node.clock, "ann"))
    assert _refused(node, token=token(node.clock, "ann")) is CloseCode.SESSION_LIMIT
    await node.enter(token=token(node.clock, "bob"))
    first.lose()
    await node.enter(token=token(node.clock, "ann"))
    assert node.hub.roster.get(first.client.sid) is None


async def test_a_session_goes_on_where_its_client_stopped_reading() -> None:
    node = Node()
    writer, reader = await node.enter(rooms=["r"]), await node.enter(rooms=["r"])
    for number in range(5):
        await writer.say("message", room="r", to="*", data=number)
    reader.lose()
    await writer.say("message", room="r", to="*", data=5)
    back = await node.enter(resume=_resume(reader, f"{reader.welcome['epoch']}.4"), token=None)
    welcome, *missed = back.news()
    assert back.client is reader.client
    assert welcome["data"]["resumed"]
    assert "seq" not in welcome
    assert [(frame["seq"], frame["data"]) for frame in missed] == [(5, 2), (6, 3), (7, 4), (8, 5)]
    await writer.say("message", room="r", to="*", data=6)
    assert [frame["seq"] for frame in back.news()] == [9]


async def test_resume_before_anything_came_and_twice_in_a_row() -> None:
    node = Node()
    seat = await node.enter()
    for _ in range(2):
        seat.lose()
        back = await node.enter(resume=_resume(seat, 1))
        assert [frame["data"]["resumed"] for frame in back.news()] == [True]
        seat = Seat(node, back.client, back.line)
        seat.welcome = back.welcome


async def test_the_newest_connection_wins() -> None:
    node = Node()
    old = await node.enter()
    new = await node.enter(resume=_resume(old, 1))
    assert old.line.closed is CloseCode.REPLACED
    node.hub.detach(old.client, old.line)
    assert new.client.connection is new.line
    assert node.hub.roster.connected() == 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sid": "s_unknown"}, "unknown"),
        ({"key": "wrong"}, "unknown"),
        ({"after": "aaaaaaaa.1"}, "epoch"),
        ({"after": "no event id"}, "epoch"),
        ({"after": 1, "epoch": "aaaaaaaa"}, "epoch"),
        ({"after": 99}, "gap"),
    ],
)
async def test_who_cannot_go_on_is_told_to_begin_anew(change: dict[str, Any], reason: str) -> None:
    node = Node()
    seat = await node.enter()
    seat.lose()
    back = await node.enter(resume=_resume(seat, 1) | change)
    (welcome,) = back.news()
    assert (welcome["seq"], welcome["data"]["resumed"], welcome["data"]["reason"]) == (1, False, reason)
    assert (back.client is seat.client) is (reason != "unknown")
    assert node.instruments.resumes[reason,] == 1


async def test_a_failed_resume_needs_a_token_like_everybody() -> None:
    node = Node()
    seat = await node.enter()
    seat.lose()
    assert _refused(node, resume=_resume(seat, 1) | {"key": "wrong"}, token=None) is CloseCode.UNAUTHORIZED


async def test_after_a_new_epoch_a_bare_number_is_not_believed() -> None:
    """The client may not have seen the welcome that announced the epoch; its number is the old log's."""
    node = Node()
    seat = await node.enter(rooms=["r"])
    seat.lose()
    renewed = await node.enter(resume=_resume(seat, 99))
    assert renewed.welcome["reason"] == "gap"
    renewed.lose()
    again = await node.enter(resume=_resume(seat, 1))
    assert again.welcome["reason"] == "epoch"


async def test_a_session_is_of_one_user() -> None:
    node = Node()
    seat = await node.enter(token=token(node.clock, "ann"))
    seat.lose()
    resume = _resume(seat, 1)
    assert _refused(node, resume=resume, token=token(node.clock, "eve")) is CloseCode.UNAUTHORIZED
    assert _refused(node, resume=resume, token=JOIN_KEY) is CloseCode.UNAUTHORIZED
    back = await node.enter(resume=resume, token=token(node.clock, "ann", rooms=["new"]))
    assert back.client.grants.rooms == ("new",)


async def test_a_session_ends_with_its_token() -> None:
    node = Node()
    seat = await node.enter(token=token(node.clock, "ann", lifetime=30))
    await node.pass_time(29)
    assert seat.line.closed is None
    await seat.say("pong")
    await node.pass_time(1)
    assert seat.line.closed is CloseCode.TOKEN_EXPIRED
    seat.lose()
    assert _refused(node, resume=_resume(seat, 1), token=None) is CloseCode.TOKEN_EXPIRED
    back = await node.enter(resume=_resume(seat, 1), token=token(node.clock, "ann"))
    assert back.welcome["resumed"]


async def test_a_session_is_forgotten_in_the_end() -> None:
    node = Node()
    stays, seat = await node.enter(rooms=["r"]), await node.enter(rooms=["r"])
    seat.lose()
    stays.client.last_heard = float("inf")
    await node.pass_time(119)
    assert node.hub.roster.get(seat.client.sid) is seat.client
    await node.pass_time(1)
    assert node.hub.roster.get(seat.client.sid) is None
    back = await node.enter(resume=_resume(seat, 1))
    assert back.welcome["reason"] == "unknown"
    assert node.engine.census().members == 1


async def test_sources_connect_only_so_often() -> None:
    node = Node(limits__connects_per_second=2, limits__sessions_per_source=3)
    assert [node.hub.may_connect(b"s") for _ in range(3)] == [0.0] * 3
    assert node.hub.may_connect(b"s") == pytest.approx(0.5)
    assert node.hub.may_connect(b"t") == 0.0
    node.clock.move(0.5)
    assert node.hub.may_connect(b"s") == 0.0


@pytest.mark.logs_error("a task in the background failed")
async def test_what_fails_in_the_background_is_logged() -> None:
    node = Node()

    async def fail() -> None:
        raise RuntimeError("broken")

    node.hub.spawn(fail())
    with pytest.raises(RuntimeError):
        await node.hub.settled()
    await asyncio.sleep(0)


async def test_closing_stops_what_still_runs() -> None:
    node = Node()
    node.hub.spawn(asyncio.sleep(1000))
    await node.hub.close()
    await node.hub.settled()


async def test_when_many_are_gone_at_once_their_rooms_are_told_by_and_by(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node(limits__sessions_per_source=100)
    seats = [await node.enter(rooms=["r"]) for _ in range(40)]
    telling, most = 0, 0
    farewell = node.hub.farewell
    assert farewell is not None

    async def counted(client: Client, reason: LeaveReason) -> None:
        nonlocal telling, most
        telling += 1
        most = max(most, telling)
        await asyncio.sleep(0)
        await farewell(client, reason)
        telling -= 1

    monkeypatch.setattr(node.hub, "farewell", counted)
    for seat in seats:
        seat.lose()
    late = seats[-1]
    node.clock.move(10)
    node.hub.timers.run_due()
    await asyncio.sleep(0)
    back = await node.enter(resume=_resume(late, f"{late.welcome['epoch']}.2"))
    await node.hub.settled()
    assert 1 < most <= 8
    assert node.engine.census() == (1, 1)
    assert late.client.session.rooms["r"].present, "it came back before its turn"
    await node.hub.close()
    assert "joined" not in back.types()
