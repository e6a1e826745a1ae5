"""Coming into a room: by its password, by a token for it alone, and by opening it."""

import asyncio
from typing import Any

import pytest

from tests.signal_api.socketless import Node, Seat
from tests.signal_api.worlds import token


async def _refused(seat: Seat, **data: Any) -> dict[str, Any]:
    await seat.say("join", data={"room": "r"} | data)
    error = seat.news()[-1]
    assert error["type"] == "error", error
    problem: dict[str, Any] = error["data"]
    return problem


async def test_who_opens_a_room_sets_its_password_and_the_others_need_it() -> None:
    node = Node()
    host, guest = await node.enter(), await node.enter()
    await host.join(create={"password": "sesame", "meta": {"topic": "x"}})
    assert (await _refused(guest))["code"] == "wrong_password"
    assert (await _refused(guest, password="open"))["code"] == "wrong_password"
    joined = await guest.join(password="sesame")
    assert (joined["meta"], len(joined["members"])) == ({"topic": "x"}, 1)
    stored = (await node.engine.load("r")).room
    assert stored is not None
    assert "sesame" not in str(stored)


async def test_guesses_are_limited_whatever_the_session() -> None:
    node = Node(limits__passwords_per_minute=3)
    host = await node.enter()
    await host.join(create={"password": "sesame"})
    codes = [(await _refused(await node.enter(), password=f"guess {n}"))["code"] for n in range(4)]
    assert codes == ["wrong_password"] * 3 + ["rate_limited"]
    assert node.instruments.rate_limited["passwords",] == 1
    limited = await _refused(await node.enter(), password="sesame")
    assert (limited["code"], limited["details"]) == ("rate_limited", {"limit": "passwords"})
    await node.pass_time(limited["retry_after_ms"] / 1000)
    await (await node.enter()).join(password="sesame")


async def test_two_who_open_a_room_at_once_with_one_password_are_both_in() -> None:
    node = Node()
    seats = [await node.enter() for _ in range(4)]
    wish = {"password": "p", "create": {"password": "p"}}
    await asyncio.gather(*(seat.say("join", data={"room": "r"} | wish) for seat in seats))
    assert all("joined" in seat.types() for seat in seats)
    assert node.engine.census() == (1, 4)


async def test_a_room_that_was_left_empty_by_a_dropped_member_comes_back_with_its_password() -> None:
    node = Node()
    host = await node.enter()
    await host.join(create={"password": "sesame", "capacity": 5})
    host.lose()
    await node.pass_time(11)
    assert (await node.engine.load("r")).room is None
    key = {"sid": host.client.sid, "key": host.welcome["key"], "after": f"{host.welcome['epoch']}.2"}
    back = await node.enter(resume=key)
    assert back.types() == ["welcome", "joined"]
    assert (await _refused(await node.enter()))["code"] == "wrong_password"


async def test_capacity_is_what_the_room_says_and_never_more_than_what_all_may_have() -> None:
    node = Node(limits__members_per_room=3)
    seats = [await node.enter() for _ in range(4)]
    assert (await seats[0].join(create={"capacity": 2}))["limits"]["members"] == 2
    await seats[1].join()
    full = await _refused(seats[2])
    assert (full["code"], full["details"], full["retryable"]) == ("room_full", {"members": 2}, True)
    assert (await seats[2].join("q", create={"capacity": 99}))["limits"]["members"] == 3


async def test_who_comes_later_does_not_change_what_holds() -> None:
    node = Node()
    host, guest = await node.enter(), await node.enter()
    await host.join()
    await guest.join(create={"password": "mine now", "meta": 1})
    assert (await (await node.enter()).join())["meta"] is None


@pytest.mark.parametrize(
    "create",
    [
        {"capacity": 0},
        {"colour": "red"},
        {"password": ""},
        {"password": 7},
        {"meta": "x" * 3000},
        {"roles": {"host": ["reign"]}},
        {"roles": {f"role {n}": [] for n in range(17)}},
        "open",
    ],
)
async def test_terms_that_make_no_sense_are_refused(create: object) -> None:
    seat = await Node().enter()
    assert (await _refused(seat, create=create))["code"] == "bad_request"


async def test_roles_of_a_room_take_and_give() -> None:
    node = Node()
    roles = {"viewer": ["private"], "host": ["publish", "private", "ice", "moderate"]}
    host = await node.enter(token=token(node.clock, "ann", role="host"))
    viewer = await node.enter(token=token(node.clock, "vic", role="viewer"))
    assert "moderate" in (await host.join(create={"roles": roles}))["can"]
    joined = await viewer.join()
    assert (joined["role"], joined["can"]) == ("viewer", ["private"])
    assert "ice" not in joined
    await viewer.say("message", room="r", to="*")
    error = viewer.news()[-1]["data"]
    assert (error["code"], error["details"]) == ("forbidden", {"needs": "publish"})
    await viewer.say("message", id="m", room="r", to=joined["members"][0]["id"])
    assert viewer.types() == ["ok"]


async def test_a_token_for_one_room_counts_there_and_nowhere_else() -> None:
    node = Node()
    seat = await node.enter(token=token(node.clock, "ann", rooms=["lobby"], can=["join", "create", "publish"]))
    assert (await _refused(seat))["details"] == {"needs": "join"}
    for wrong in (token(node.clock, "eve"), token(node.clock, "ann", rooms=["q"]), "forged"):
        assert (await _refused(seat, token=wrong))["code"] in ("unauthorized", "forbidden")
    joined = await seat.join(token=token(node.clock, "ann", rooms=["r"], role="host"))
    assert (joined["role"], "ice" in joined) == ("host", True)
    assert "ice" not in await seat.join("lobby")
    other = await node.enter()
    await other.join()
    await seat.say("message", id="m", room="r", to="*")
    assert "ok" in seat.types()


async def test_who_came_into_a_room_as_somebody_stays_that() -> None:
    """A session of no user may have tokens of several: they show it as one of them, no longer than that one's last."""
    node = Node()
    seat = await node.enter()
    await seat.join(token=token(node.clock, "ann", rooms=["r"], lifetime=60))
    await seat.say("token", room="r", data={"token": token(node.clock, "eve", rooms=["r"], lifetime=6000)})
    assert seat.news()[-1]["data"]["code"] == "unauthorized"
    await node.pass_time(61)
    assert "r" not in seat.client.session.rooms


async def test_a_room_is_left_when_its_own_token_ends_unless_it_was_renewed() -> None:
    node = Node()
    seat, other = await node.enter(token=token(node.clock, "ann", rooms=["q"])), await node.enter()
    await other.join()
    await seat.join(token=token(node.clock, "ann", rooms=["r"], lifetime=60))
    await seat.join("q")
    await node.pass_time(30)
    fresh = token(node.clock, "ann", rooms=["r"], lifetime=60)
    await seat.say("token", id="t", room="r", data={"token": fresh})
    await seat.say("token", room="r", data={"token": token(node.clock, "ann", rooms=["q"])})
    await seat.say("token", room="q", data={"token": fresh})
    assert [frame["data"]["code"] if frame["type"] == "error" else frame["type"] for frame in seat.news()[-3:]] == [
        "ok",
        "forbidden",
        "room_not_found",
    ]
    for _ in range(7):
        await node.pass_time(8)
        await seat.say("pong")
        await other.say("pong")
    assert "r" in seat.client.session.rooms
    other.news()
    await node.pass_time(3)
    await node.pass_time(2)
    await node.pass_time(1)
    closed = [frame for frame in seat.news() if frame["type"] == "room.closed"]
    assert [(frame["room"], frame["data"]) for frame in closed] == [("r", {"reason": "not_granted"})]
    assert list(seat.client.session.rooms) == ["q"]
    assert other.types() == ["member.left"]
    assert node.engine.census() == (2, 2)
