"""Rooms: who is in, in what order, and who is told."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_api.protocol.effects import Announce, LeaveReason
from signal_api.protocol.messages import ToUser
from signal_api.protocol.refusals import ErrorCode, Refusal
from signal_api.protocol.rooms import Ban, Candidate, Change, Room, Terms, join, leave, member_of, recipients


def _joined(room: Room | None, sid: str, user: str | None = None, order: int | None = None) -> Change:
    change = join(room, "r", Candidate(f"m_{sid}", sid, user, order=order), 1000, capacity=5)
    assert isinstance(change, Change)
    return change


def _room(*sids: str) -> Room:
    room: Room | None = None
    for sid in sids:
        room = _joined(room, sid, user=f"user of {sid}").room
    assert room is not None
    return room


def _order(change: Change) -> int:
    assert change.member is not None
    return change.member.order


def test_the_first_member_opens_the_room_and_nobody_is_told() -> None:
    change = _joined(None, "a")
    assert change.room is not None
    assert change.effects == ()
    assert change.member is not None
    assert (change.member.order, change.room.rseq, change.room.next_order) == (1, 1, 2)


def test_the_others_are_told_of_the_second_without_its_session() -> None:
    change = _joined(_room("a"), "b", user="bob")
    (news,) = change.effects
    assert isinstance(news, Announce)
    assert (news.to, news.kind, news.rseq) == (("a",), "member.joined", 2)
    seen = json.loads(news.member)
    assert seen == {"id": "m_b", "user": "bob", "order": 2, "meta": None, "joined_at": 1000, "role": "member"}


def test_a_room_is_a_value() -> None:
    before = _room("a")
    _joined(before, "b")
    assert list(before.members) == ["m_a"]


def test_nobody_is_in_a_room_twice_and_no_more_than_fit() -> None:
    twice = join(_room("a"), "r", Candidate("m_x", "a", None), 0, capacity=5)
    assert isinstance(twice, Refusal)
    assert twice.code is ErrorCode.ALREADY_JOINED
    full = join(_room("a", "b"), "r", Candidate("m_c", "c", None), 0, capacity=2)
    assert isinstance(full, Refusal)
    assert full.code is ErrorCode.ROOM_FULL
    assert full.code.retryable


def test_leaving_tells_those_who_stay_and_the_last_one_closes_the_room() -> None:
    change = leave(_room("a", "b", "c"), "b", LeaveReason.TIMEOUT)
    assert isinstance(change, Change)
    assert change.room is not None
    (news,) = change.effects
    assert isinstance(news, Announce)
    assert (news.to, news.kind, news.rseq) == (("a", "c"), "member.left", 4)
    assert json.loads(news.member) == {"id": "m_b", "reason": "timeout"}
    last = leave(_room("a"), "a", LeaveReason.TIMEOUT)
    gone = _room("a").members["m_a"]
    assert last == Change(None, (), gone, (gone,), LeaveReason.TIMEOUT)


@pytest.mark.parametrize("room", [None, _room("a")])
def test_who_is_not_in_a_room_cannot_leave_it(room: Room | None) -> None:
    refusal = leave(room, "stranger", LeaveReason.LEAVE)
    assert isinstance(refusal, Refusal)
    assert refusal.code is ErrorCode.ROOM_NOT_FOUND


def test_order_is_kept_by_who_comes_back_unless_it_was_given_away() -> None:
    left = leave(_room("a", "b"), "a", LeaveReason.TIMEOUT)
    assert isinstance(left, Change)
    assert _order(_joined(left.room, "a", order=1)) == 1
    assert _order(_joined(_room("b"), "a", order=1)) == 2
    again = _joined(_room("b"), "a", order=9).room
    assert again is not None
    assert _order(_joined(again, "c")) == 10


def test_recipients() -> None:
    room = _room("a", "b", "c")
    sender = room.members["m_a"]
    assert recipients(room, sender, "*") == ("b", "c")
    assert recipients(room, sender, "m_b") == ("b",)
    assert recipients(room, sender, ["m_c", "m_b", "m_c"]) == ("c", "b")
    assert recipients(room, sender, ToUser("user of c")) == ("c",)


@pytest.mark.parametrize("to", ["m_z", ["m_b", "m_z"], ToUser("nobody"), ToUser("user of a")])
def test_who_is_not_in_the_room_is_not_reached(to: str | list[str] | ToUser) -> None:
    room = _room("a", "b")
    refusal = recipients(room, room.members["m_a"], to)
    assert isinstance(refusal, Refusal)
    assert refusal.code is ErrorCode.PEER_NOT_FOUND


def test_an_announcement_to_an_empty_room_reaches_nobody() -> None:
    room = _room("a")
    assert recipients(room, room.members["m_a"], "*") == ()


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abcdefg")), max_size=40))
def test_orders_differ_and_rseq_counts_every_event(steps: list[tuple[bool, str]]) -> None:
    room: Room | None = None
    events = 0
    for enters, sid in steps:
        change = (
            join(room, "r", Candidate(f"m_{sid}", sid, None), 0, 5) if enters else leave(room, sid, LeaveReason.LEAVE)
        )
        if isinstance(change, Change):
            room = change.room
            events = events + 1 if room is not None else 0
        assert room is None or room.rseq == events
    if room is not None:
        orders = [member.order for member in room.members.values()]
        assert len(set(orders)) == len(orders)
        assert all(member_of(room, member.sid) is member for member in room.members.values())


def test_meta_is_shown_as_it_was_given() -> None:
    candidate = Candidate("m_b", "b", None, msgspec.Raw(b'{"name": "B"}'))
    change = join(_room("a"), "r", candidate, 0, 5)
    assert isinstance(change, Change)
    (news,) = change.effects
    assert isinstance(news, Announce)
    assert b'"meta":{"name": "B"}' in news.member


def _refused(room: Room, sid: str, user: str | None = None, now_ms: int = 1000, proven: str | None = None) -> ErrorCode:
    refusal = join(room, "r", Candidate(f"m_{sid}", sid, user, proven=proven), now_ms, 5)
    assert isinstance(refusal, Refusal)
    return refusal.code


def test_who_opens_a_room_sets_its_terms_and_knows_its_password() -> None:
    terms = Terms(capacity=2, password="hash")
    opened = join(None, "r", Candidate("m_a", "a", None, terms=terms, room_meta=msgspec.Raw(b"1")), 1000, 5)
    assert isinstance(opened, Change)
    assert opened.room is not None
    assert (opened.room.terms, opened.room.meta) == (terms, msgspec.Raw(b"1"))
    assert _refused(opened.room, "b") is ErrorCode.WRONG_PASSWORD
    second = join(opened.room, "r", Candidate("m_b", "b", None, proven="hash", terms=Terms()), 1000, 5)
    assert isinstance(second, Change)
    assert second.room is not None
    assert second.room.terms == terms, "who comes later changes nothing"
    assert _refused(second.room, "c", proven="hash") is ErrorCode.ROOM_FULL
    assert _refused(second.room, "c") is ErrorCode.WRONG_PASSWORD, "strangers do not hear how full it is"


def test_a_kept_room_outlives_its_members_and_others_do_not() -> None:
    kept = Room("r", {}, terms=Terms(password="hash", kept=True))
    assert kept.until is None
    assert _refused(kept, "a") is ErrorCode.WRONG_PASSWORD
    entered = join(kept, "r", Candidate("m_a", "a", None, proven="hash"), 1000, 5)
    assert isinstance(entered, Change)
    left = leave(entered.room, "a", LeaveReason.LEAVE)
    assert isinstance(left, Change)
    assert left.room is not None
    assert (left.room.terms, left.room.members) == (kept.terms, {})


def test_who_opens_a_room_cannot_keep_it_open() -> None:
    opened = join(None, "r", Candidate("m_a", "a", None, terms=Terms(password="hash", kept=True)), 1000, 5)
    assert isinstance(opened, Change)
    assert opened.room is not None
    assert opened.room.terms == Terms(password="hash")


def test_a_ban_outlives_the_room_but_not_its_time() -> None:
    room = _room("a")
    room = msgspec.structs.replace(room, terms=Terms(password="x"), bans={"eve": Ban("eve", 0, 50, "m_a")})
    assert _refused(room, "e", user="eve") is ErrorCode.BANNED
    left = leave(room, "a", LeaveReason.LEAVE)
    assert isinstance(left, Change)
    assert left.room is not None
    assert (left.room.until, left.room.terms) == (50, Terms())
    assert _refused(left.room, "e", user="eve", now_ms=49_999) is ErrorCode.BANNED
    assert isinstance(join(left.room, "r", Candidate("m_e", "e", "eve"), 50_000, 5), Change)
    assert isinstance(join(left.room, "r", Candidate("m_f", "f", "fay"), 1000, 5), Change)
