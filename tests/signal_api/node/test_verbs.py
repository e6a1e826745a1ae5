"""Frames that change what is known of a member, tokens that grant less, and frames that were lost."""

from typing import Any

import pytest

from signal_api.protocol.refusals import CloseCode
from signal_api.protocol.rooms import MAX_META
from tests.signal_api.socketless import Node, Seat
from tests.signal_api.worlds import token


async def _pair(**options: object) -> tuple[Node, Seat, Seat, str]:
    """Two members of room r who have read everything, and the id of the second."""
    node = Node(**options)
    first, second = await node.enter(), await node.enter()
    await first.join("r", meta={"name": "A"})
    member = (await second.join("r"))["self"]["id"]
    await node.pass_time(1)
    first.news()
    second.news()
    return node, first, second, member


async def test_meta_of_a_member_is_told_and_kept() -> None:
    node, first, second, _ = await _pair()
    await first.say("meta.set", id="s", room="r", data={"meta": {"name": "B", "muted": True}})
    assert first.types() == ["ok"]
    await node.pass_time(1)
    (update,) = second.news()
    assert update["type"] == "member.updated"
    assert update["data"]["members"][0]["meta"] == {"name": "B", "muted": True}
    assert update["data"]["rseq"] == 3
    third = await node.enter()
    assert (await third.join("r"))["members"][0]["meta"] == {"name": "B", "muted": True}
    first.lose()
    await node.pass_time(11)
    key = {"sid": first.client.sid, "key": first.welcome["key"], "after": 2}
    await node.enter(resume=key)
    fourth = await node.enter()
    metas = [member["meta"] for member in (await fourth.join("r"))["members"]]
    assert {"name": "B", "muted": True} in metas, "it comes back as it was"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"room": "q", "data": {"meta": 1}}, "room_not_found"),
        ({"data": {"meta": 1}}, "room_not_found"),
        ({"room": "r", "data": {}}, "bad_request"),
        ({"room": "r"}, "bad_request"),
        ({"room": "r", "data": {"meta": "x" * MAX_META}}, "bad_request"),
        ({"room": "r", "data": {"room_meta": "x" * MAX_META}}, "bad_request"),
    ],
)
async def test_meta_that_is_refused(fields: dict[str, Any], code: str) -> None:
    _, first, _, _ = await _pair()
    await first.say("meta.set", **fields)
    assert first.news()[-1]["data"]["code"] == code


async def test_a_token_that_grants_less_takes_the_rooms_that_it_does_not_name() -> None:
    node = Node()
    other = await node.enter(rooms=["r", "q"])
    seat = await node.enter(token=token(node.clock, "ann", rooms=["r", "q"]), rooms=["r", "q"])
    await node.pass_time(1)
    other.news()
    seat.news()
    await seat.say("token", id="t", data={"token": token(node.clock, "ann", rooms=["q"], role="guest")})
    closed, reply = seat.news()
    assert (closed["type"], closed["room"], closed["data"]) == ("room.closed", "r", {"reason": "not_granted"})
    assert reply["type"] == "ok"
    await node.pass_time(1)
    seen = {frame["type"]: frame for frame in other.news()}
    assert seen["member.left"]["room"] == "r"
    assert seen["member.updated"]["room"] == "q"
    assert seen["member.updated"]["data"]["members"][0]["role"] == "guest"


async def test_a_token_that_ends_closes_the_connection() -> None:
    node = Node()
    seat = await node.enter(token=token(node.clock, lifetime=60))
    await node.pass_time(61)
    assert seat.line.closed is CloseCode.TOKEN_EXPIRED


async def test_the_sender_hears_of_what_was_lost_with_the_session() -> None:
    node, first, second, member = await _pair()
    await first.say("offer", id="early", room="r", to=member)
    await node.pass_time(1)
    await second.say("pong")
    second.lose()
    for name in ("o1", "o2"):
        await first.say("offer", id=name, room="r", to=member, data={"sdp": ""})
    await first.say("candidate", room="r", to=member)
    await first.say("message", id="all", room="r", to="*")
    first.news()
    for _ in range(11):
        await first.say("pong")
        await node.pass_time(10)
    assert "undelivered" not in first.types()
    await node.pass_time(11)
    lost = [frame for frame in first.news() if frame["type"] == "undelivered"]
    assert [frame["data"] for frame in lost] == [
        {"id": "o1", "to": member, "reason": "timeout"},
        {"id": "o2", "to": member, "reason": "timeout"},
    ]
    assert {frame["room"] for frame in lost} == {"r"}
    assert node.instruments.undelivered["timeout",] == 2


async def test_nothing_was_lost_for_who_came_back() -> None:
    node, first, second, member = await _pair()
    second.lose()
    await first.say("offer", id="o", room="r", to=member)
    await node.pass_time(5)
    key = {"sid": second.client.sid, "key": second.welcome["key"], "after": f"{second.welcome['epoch']}.2"}
    back = await node.enter(resume=key)
    assert "offer" in back.types()
    await node.pass_time(1)
    back.lose()
    await node.pass_time(130)
    assert "undelivered" not in first.types()


async def test_a_session_that_is_ended_while_it_is_away_loses_what_waited() -> None:
    node, first, _, member = await _pair(limits__sessions_per_user=1)
    bob = await node.enter(token=token(node.clock, "bob"))
    member = (await bob.join("r"))["self"]["id"]
    await node.pass_time(1)
    bob.lose()
    await first.say("offer", id="o", room="r", to=member)
    first.news()
    await node.enter(token=token(node.clock, "bob"))
    await node.hub.settled()
    await node.pass_time(1)
    lost, left = first.news()
    assert (lost["type"], lost["data"]["reason"]) == ("undelivered", "replaced")
    assert left["data"]["members"][0]["reason"] == "replaced"
