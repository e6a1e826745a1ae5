"""Effects at the node of those whom they are for."""

import pytest

from signal_api.protocol.effects import Announce, ClosedReason, Deliver, Effect, End, Expel, LeaveReason, Tell
from signal_api.protocol.messages import server_frame
from signal_api.protocol.refusals import CloseCode, Closing, EngineUnavailableError
from signal_api.protocol.revocations import Revocation, RevocationKind
from tests.signal_api.socketless import Line, Node, Seat
from tests.signal_api.worlds import token


async def _seat(node: Node, *rooms: str, can: tuple[str, ...] = ("*",), jti: str = "t1") -> Seat:
    seat = await node.enter(token=token(node.clock, "ann", jti=jti, rooms=list(can)), rooms=list(rooms))
    seat.news()
    return seat


@pytest.mark.parametrize(
    "effect",
    [
        Deliver(("s_elsewhere",), server_frame("message")),
        Announce(("s_elsewhere",), "member.joined", "r", 1, b"{}"),
        Expel(("s_elsewhere",), "r", ClosedReason.CLOSED),
        End(("s_elsewhere",), CloseCode.KICKED, LeaveReason.KICKED),
        Tell("nobody", server_frame("message")),
    ],
)
async def test_sessions_of_other_nodes_are_left_out(effect: Effect) -> None:
    node = Node()
    seat = await _seat(node, "r")
    await node.engine.publish((effect,))
    await node.pass_time(1)
    assert seat.news() == []
    assert "r" in seat.client.session.rooms


async def test_every_session_of_a_user_is_told() -> None:
    node = Node()
    seats = [await _seat(node), await _seat(node), await node.enter(token=token(node.clock, "bob"))]
    seats[2].news()
    await node.engine.publish((Tell("ann", server_frame("message", b"1")),))
    assert [len(seat.news()) for seat in seats] == [1, 1, 0]


async def test_a_closed_room_leaves_the_session_its_others() -> None:
    node = Node()
    seat = await _seat(node, "r", "q")
    await node.engine.publish((Expel((seat.client.sid,), "r", ClosedReason.CLOSED),))
    (closed,) = seat.news()
    assert (closed["type"], closed["room"], closed["data"]) == ("room.closed", "r", {"reason": "closed"})
    assert list(seat.client.session.rooms) == ["q"]
    assert seat.line.closed is None


async def test_a_closed_room_ends_a_session_whose_token_is_for_it_alone() -> None:
    node = Node()
    seat = await _seat(node, "r", can=("r",))
    await node.engine.publish((Expel((seat.client.sid,), "r", ClosedReason.CLOSED),))
    assert seat.types() == ["room.closed"]
    assert seat.line.closed is CloseCode.ROOM_CLOSED
    assert node.hub.roster.get(seat.client.sid) is None


async def test_a_kick_by_who_may_moderate_all_that_the_token_grants_takes_the_token() -> None:
    node = Node()
    seat, second = await _seat(node, "r", "q", can=("team-1", "r", "q")), await _seat(node, can=("team-1", "r", "q"))
    await node.engine.publish((Expel((seat.client.sid,), "r", ClosedReason.KICKED, within=("*",)),))
    await node.hub.settled()
    assert seat.line.closed is CloseCode.KICKED
    assert second.line.closed is CloseCode.UNAUTHORIZED, "another session by the same token"
    again = node.try_to_enter(Line(), token=token(node.clock, "ann", jti="t1"))
    assert isinstance(again, Closing)
    assert again.code is CloseCode.UNAUTHORIZED
    await _seat(node, jti="t2")


async def test_a_kick_takes_the_token_once_the_store_answers_and_here_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node()
    seat, second = await _seat(node, "r"), await _seat(node)
    asked = list[Revocation]()

    async def unanswered(revocation: Revocation) -> None:
        asked.append(revocation)
        raise EngineUnavailableError("the store does not answer")

    with monkeypatch.context() as outage:
        outage.setattr(node.engine, "revoke", unanswered)
        await node.engine.publish((Expel((seat.client.sid,), "r", ClosedReason.KICKED, within=("*",)),))
        await node.hub.settled()
        again = node.try_to_enter(Line(), token=token(node.clock, "ann", jti="t1"))
        assert isinstance(again, Closing)
        assert again.code is CloseCode.UNAUTHORIZED
        await node.pass_time(1)
        assert len(asked) == 2
        assert second.line.closed is None
    await node.pass_time(1)
    assert second.line.closed is CloseCode.UNAUTHORIZED, "every node has heard of it"
    with monkeypatch.context() as outage:
        outage.setattr(node.engine, "revoke", unanswered)
        late = await _seat(node, "r", jti="t2")
        await node.engine.publish((Expel((late.client.sid,), "r", ClosedReason.KICKED, within=("*",)),))
        await node.pass_time(600)
        asked.clear()
        await node.pass_time(10)
        assert asked == [], "the token is dead by itself"


async def test_a_kick_from_one_room_leaves_a_token_for_more_alone() -> None:
    node = Node()
    seat = await _seat(node, "r", "q", can=("r", "q"))
    await node.engine.publish((Expel((seat.client.sid,), "r", ClosedReason.KICKED, within=("r",)),))
    await node.hub.settled()
    assert seat.types() == ["room.closed"]
    assert seat.line.closed is None
    await node.engine.publish((Expel((seat.client.sid,), "q", ClosedReason.KICKED, within=("q",)),))
    assert seat.line.closed is CloseCode.KICKED, "no room is left"
    await _seat(node)


async def _guest_of_rooms(node: Node, granted: list[str], *rooms: str) -> Seat:
    """A session whose token grants `granted`, in rooms that it came into by a token for each."""
    seat = await node.enter(token=token(node.clock, "ann", jti="session", rooms=granted))
    for room in rooms:
        await seat.join(room, token=token(node.clock, "ann", jti=f"for {room}", rooms=[room]))
    return seat


def _revoked(node: Node) -> list[str]:
    return [revocation.id for revocation in node.hub.revocations]


@pytest.mark.parametrize("granted", [[], ["r"]])
async def test_a_kick_takes_the_token_by_which_its_victim_came_into_the_room(granted: list[str]) -> None:
    node = Node()
    seat = await _guest_of_rooms(node, granted, "r", "q")
    await node.engine.publish((Expel((seat.client.sid,), "r", ClosedReason.KICKED, within=("r",)),))
    await node.hub.settled()
    assert _revoked(node) == ["for r"]
    assert (seat.types(), seat.line.closed) == (["room.closed"], None)
    assert list(seat.client.session.rooms) == ["q"]
    await seat.say("join", data={"room": "r", "token": token(node.clock, "ann", jti="for r", rooms=["r"])})
    assert seat.news()[-1]["data"]["code"] == "unauthorized"
    assert node.instruments.auth_failures["revoked",] == 1
    await node.engine.publish((Expel((seat.client.sid,), "q", ClosedReason.KICKED, within=("q",)),))
    assert seat.line.closed is CloseCode.KICKED, "no room is left"


async def test_a_token_for_more_than_the_room_of_a_kick_outlives_it() -> None:
    node = Node()
    seat = await node.enter(token=token(node.clock, "ann", jti="session", rooms=["r"]))
    await seat.join("r", token=token(node.clock, "ann", jti="for both", rooms=["r", "q"]))
    await seat.join("q", token=token(node.clock, "ann", jti="for both", rooms=["r", "q"]))
    await node.engine.publish((Expel((seat.client.sid,), "r", ClosedReason.KICKED, within=("r",)),))
    await node.hub.settled()
    assert (_revoked(node), seat.line.closed, list(seat.client.session.rooms)) == ([], None, ["q"])


async def test_a_closed_room_leaves_a_session_that_came_into_it_or_others_by_tokens_of_their_own() -> None:
    node = Node()
    seat = await _guest_of_rooms(node, ["r"], "q")
    await seat.join("r")
    await node.engine.publish((Expel((seat.client.sid,), "r", ClosedReason.CLOSED),))
    assert (seat.line.closed, list(seat.client.session.rooms)) == (None, ["q"])
    await node.engine.publish((Expel((seat.client.sid,), "q", ClosedReason.CLOSED),))
    assert (seat.line.closed, list(seat.client.session.rooms)) == (None, [])


async def test_a_revocation_ends_the_sessions_that_it_covers_and_their_memberships() -> None:
    node = Node()
    other = await node.enter(token=token(node.clock, "bob"), rooms=["r"])
    seat = await _seat(node, "r")
    await node.pass_time(1)
    other.news()
    now = node.clock.now().wall
    await node.engine.revoke(Revocation(RevocationKind.USER, "ann", now, now + 60))
    await node.hub.settled()
    await node.pass_time(1)
    assert seat.line.closed is CloseCode.UNAUTHORIZED
    (left,) = other.news()
    assert left["data"]["members"][0]["reason"] == "kicked"
    gone = node.try_to_enter(Line(), resume={"sid": seat.client.sid, "key": seat.welcome["key"], "after": 1})
    assert not isinstance(gone, Closing)
    assert gone is not seat.client


async def test_an_ended_session_leaves_its_rooms_for_that_reason() -> None:
    node = Node()
    other, seat = await node.enter(rooms=["r"]), await _seat(node, "r")
    await node.pass_time(1)
    other.news()
    await node.engine.publish((End((seat.client.sid,), CloseCode.KICKED, LeaveReason.SHUTDOWN),))
    await node.hub.settled()
    await node.pass_time(1)
    assert seat.line.closed is CloseCode.KICKED
    assert other.news()[0]["data"]["members"][0]["reason"] == "shutdown"
