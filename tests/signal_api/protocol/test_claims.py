"""Ids that their members chose: first come, and then nobody else's."""

from signal_api.protocol.claims import Claim, claim
from signal_api.protocol.effects import Announce, End, LeaveReason
from signal_api.protocol.refusals import CloseCode, ErrorCode, Refusal
from signal_api.protocol.rooms import Candidate, Change, Room, leave


def _claimed(room: Room | None, sid: str, wanted: Claim) -> Change:
    change = claim(room, "r", wanted, Candidate("", sid, None), 1000, capacity=2)
    assert isinstance(change, Change)
    return change


ALICE = Claim("alice", "token:a")


def test_a_free_id_makes_a_member_of_whom_the_others_are_told() -> None:
    room = _claimed(None, "s1", ALICE).room
    change = _claimed(room, "s2", Claim("bob", "token:b"))
    assert change.room is not None
    assert list(change.room.members) == ["alice", "bob"]
    (news,) = change.effects
    assert isinstance(news, Announce)
    assert (news.to, news.kind) == (("s1",), "member.joined")
    assert b"token" not in news.member


def test_another_owner_does_not_get_it() -> None:
    room = _claimed(None, "s1", ALICE).room
    refusal = claim(room, "r", Claim("alice", "token:b"), Candidate("", "s2", None), 1000, capacity=2)
    assert isinstance(refusal, Refusal)
    assert refusal.code is ErrorCode.ID_TAKEN


def test_its_owner_takes_it_over_and_nobody_else_notices() -> None:
    room = _claimed(_claimed(None, "s1", ALICE).room, "s2", Claim("bob", "token:b")).room
    change = _claimed(room, "s3", ALICE)
    assert change.effects == (End(("s1",), CloseCode.REPLACED, LeaveReason.REPLACED),)
    assert change.room is not None
    assert room is not None
    assert change.member is not None
    assert (change.room.rseq, change.member.order, change.member.sid) == (room.rseq, 1, "s3")
    # The session that was replaced takes nothing with it.
    assert isinstance(leave(change.room, "s1", LeaveReason.TIMEOUT), Refusal)


def test_an_id_is_free_when_its_member_has_left() -> None:
    room = _claimed(_claimed(None, "s1", ALICE).room, "s2", Claim("bob", "token:b")).room
    left = leave(room, "s1", LeaveReason.LEAVE)
    assert isinstance(left, Change)
    change = _claimed(left.room, "s3", Claim("alice", "token:c"))
    assert change.room is not None
    assert change.room.members["alice"].owner == "token:c"


def test_no_more_than_fit() -> None:
    room = _claimed(_claimed(None, "s1", ALICE).room, "s2", Claim("bob", "token:b")).room
    refusal = claim(room, "r", Claim("carol", "token:c"), Candidate("", "s3", None), 1000, capacity=2)
    assert isinstance(refusal, Refusal)
    assert refusal.code is ErrorCode.ROOM_FULL
    again = _claimed(room, "s4", ALICE).room
    assert again is not None
    assert again.members["alice"].sid == "s4"
