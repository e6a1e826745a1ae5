"""Kicks, bans and what is said of a room, at the wish of its members."""

from typing import Any

import pytest

from signal_api.protocol.moderation import Who
from signal_api.protocol.refusals import CloseCode, Closing
from signal_api.protocol.rooms import Change
from tests.signal_api.socketless import Line, Node, Seat
from tests.signal_api.worlds import token


class Trial:
    """Room r: ann, who moderates it, eve and bob."""

    def __init__(self, node: Node, seats: dict[str, Seat], ids: dict[str, str]) -> None:
        self.node = node
        self.ann, self.eve, self.bob = seats["ann"], seats["eve"], seats["bob"]
        self.ids = ids

    async def enter(self, user: str, **options: Any) -> Seat:
        return await self.node.enter(token=token(self.node.clock, user, **options))

    async def quiet(self) -> None:
        await self.node.hub.settled()
        await self.node.pass_time(1)
        for seat in (self.ann, self.eve, self.bob):
            seat.news()


async def _trial(**grant: Any) -> Trial:
    node = Node()
    moderate = ["join", "create", "publish", "private", "ice", "moderate"]
    ann = await node.enter(token=token(node.clock, "ann", rooms=["r"], can=moderate))
    seats = {"ann": ann}
    for user in ("eve", "bob"):
        seats[user] = await node.enter(token=token(node.clock, user, jti=f"token of {user}", **grant))
    ids = {user: (await seat.join())["self"]["id"] for user, seat in seats.items()}
    trial = Trial(node, seats, ids)
    await trial.quiet()
    return trial


def _code(seat: Seat) -> str:
    error = seat.news()[-1]
    assert error["type"] == "error", error
    code: str = error["data"]["code"]
    return code


async def test_a_kicked_member_is_out_and_stays_out_by_whatever_door() -> None:
    trial = await _trial(rooms=["r"])
    await trial.ann.say("kick", id="k", room="r", data={"member": trial.ids["eve"]})
    assert trial.ann.news() == [{"type": "ok", "re": "k"}]
    closed = trial.eve.news()[-1]
    assert (closed["type"], closed["data"]) == ("room.closed", {"reason": "kicked"})
    assert trial.eve.line.closed is CloseCode.KICKED
    await trial.node.hub.settled()
    again = trial.node.try_to_enter(Line(), token=token(trial.node.clock, "eve", jti="token of eve", rooms=["r"]))
    assert isinstance(again, Closing), "the token is dead"
    resume = {"sid": trial.eve.client.sid, "key": trial.eve.welcome["key"], "after": 1}
    assert isinstance(trial.node.try_to_enter(Line(), token=None, resume=resume), Closing), "so is the session"
    other = await trial.enter("eve", jti="another")
    await other.say("join", room="r")
    assert _code(other) == "banned"
    await trial.node.pass_time(1)
    (left,) = trial.bob.news()
    assert left["data"]["members"] == [{"id": trial.ids["eve"], "reason": "kicked"}]
    assert trial.node.instruments.kicks["member",] == 1


async def test_a_ban_ends_with_its_time_but_not_before_the_token() -> None:
    trial = await _trial()
    await trial.ann.say("kick", room="r", data={"user": "eve", "seconds": 60})
    await trial.node.pass_time(61)
    other = await trial.enter("eve")
    await other.say("join", room="r")
    assert _code(other) == "banned", "the token that eve had lives for ten minutes"
    await trial.node.pass_time(600)
    await (await trial.enter("eve")).join()


async def test_a_ban_can_be_taken_back() -> None:
    trial = await _trial()
    await trial.ann.say("kick", room="r", data={"user": "eve"})
    await trial.bob.say("unban", room="r", data={"user": "eve"})
    assert _code(trial.bob) == "forbidden"
    await trial.ann.say("unban", id="u", room="r", data={"user": "eve"})
    assert trial.ann.types()[-1] == "ok"
    await (await trial.enter("eve")).join()
    await trial.ann.say("unban", room="r", data={"user": "eve"})
    assert _code(trial.ann) == "not_found"


async def test_who_moderates_one_room_ends_nothing_elsewhere() -> None:
    trial = await _trial()
    await trial.eve.join("q")
    await trial.ann.say("kick", room="r", data={"member": trial.ids["eve"]})
    await trial.node.hub.settled()
    assert trial.eve.line.closed is None
    assert list(trial.eve.client.session.rooms) == ["q"]
    await trial.eve.say("join", room="r")
    assert _code(trial.eve) == "banned"


async def test_who_moderates_a_room_named_like_a_pattern_moderates_that_room() -> None:
    node = Node()
    ann = await node.enter(token=token(node.clock, "ann", role="host"))
    eve = await node.enter(token=token(node.clock, "eve", rooms=["team-*"], jti="token of eve"))
    await ann.join("team-*", create={"roles": {"host": ["moderate"]}})
    await eve.join("team-*")
    await eve.join("team-b")
    await ann.say("kick", id="k", room="team-*", data={"user": "eve"})
    assert ann.types()[-1] == "ok"
    await node.hub.settled()
    assert (eve.line.closed, list(eve.client.session.rooms)) == (None, ["team-b"])


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"member": "m_nobody"}, "peer_not_found"),
        ({}, "bad_request"),
        ({"member": "m_x", "user": "eve"}, "bad_request"),
        ({"user": "ann"}, "bad_request"),
        ({"user": "eve", "seconds": -1}, "bad_request"),
        ({"user": "eve", "seconds": 1e9}, "bad_request"),
        ({"user": "eve", "room": "q"}, "room_not_found"),
    ],
)
async def test_kicks_that_are_refused(data: dict[str, Any], code: str) -> None:
    trial = await _trial()
    await trial.ann.say("kick", data={"room": "r"} | data)
    assert _code(trial.ann) == code


@pytest.mark.parametrize(
    ("kind", "data"),
    [("kick", {"user": "bob"}), ("unban", {"user": "bob"}), ("meta.set", {"room_meta": 1})],
)
async def test_who_does_not_moderate_may_not(kind: str, data: dict[str, Any]) -> None:
    trial = await _trial()
    await trial.eve.say(kind, room="r", data=data)
    assert _code(trial.eve) == "forbidden"
    assert trial.bob.line.closed is None


async def test_what_is_said_of_a_room_is_heard_and_shown_to_who_comes() -> None:
    trial = await _trial()
    await trial.ann.say("meta.set", id="s", room="r", data={"room_meta": {"topic": "tea"}})
    assert trial.ann.types() == ["room.updated", "ok"]
    (update,) = trial.bob.news()
    assert (update["from"], update["data"]["meta"]) == (trial.ids["ann"], {"topic": "tea"})
    joined = await (await trial.enter("cid")).join()
    assert joined["meta"] == {"topic": "tea"}
    assert joined["rseq"] == update["data"]["rseq"] + 1


async def test_a_back_end_kicks_whom_it_likes_and_takes_the_token() -> None:
    trial = await _trial()
    steward = trial.node.dispatch.verbs.steward
    assert isinstance(await steward.kick("r", Who(user="eve"), None, "backend"), Change)
    await trial.node.hub.settled()
    assert trial.eve.line.closed is CloseCode.KICKED
    assert isinstance(await steward.kick("empty", Who(user="eve"), 60, "backend"), Change)
    fresh = await trial.enter("eve", jti="fresh")
    await fresh.say("join", room="empty")
    assert _code(fresh) == "banned"
    assert trial.node.instruments.kicks["api",] == 1


async def test_closing_a_room_leaves_it_to_whoever_opens_it_next() -> None:
    trial = await _trial()
    steward = trial.node.dispatch.verbs.steward
    assert isinstance(await steward.close("r"), Change)
    assert not isinstance(await steward.close("r"), Change)
    assert trial.bob.news()[-1]["data"] == {"reason": "closed"}
    assert trial.bob.line.closed is None
    assert trial.ann.line.closed is CloseCode.ROOM_CLOSED, "its token is for that room alone"
    assert (await trial.bob.join())["members"] == []
