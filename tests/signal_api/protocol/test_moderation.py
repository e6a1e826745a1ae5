"""Sending out, keeping out, closing: what becomes of the room, and who is told."""

import json

import msgspec
import pytest

from signal_api.protocol import moderation
from signal_api.protocol.authorization import DEFAULT_ABILITIES, Ability, Grants
from signal_api.protocol.effects import Announce, ClosedReason, Deliver, Expel
from signal_api.protocol.moderation import Verdict, Who, change_member, close, describe, kick, lift, may
from signal_api.protocol.refusals import ErrorCode, Refusal
from signal_api.protocol.rooms import Ban, Candidate, Change, Room, Terms, join

NOW = 1000.0
VERDICT = Verdict(NOW, NOW + 60, "m_host", ("r",))


def _room(*users: str | None, expires: float | None = None, terms: Terms | None = None) -> Room:
    """Members m_0, m_1, ... in sessions s_0, s_1, ... of these users."""
    room: Room | None = None
    for number, user in enumerate(users):
        candidate = Candidate(f"m_{number}", f"s_{number}", user, expires=expires, terms=terms or Terms())
        change = join(room, "r", candidate, round(NOW * 1000), 10)
        assert isinstance(change, Change)
        room = change.room
    assert room is not None
    return room


def _changed(change: Change | Refusal) -> tuple[Room, Change]:
    assert isinstance(change, Change)
    assert change.room is not None
    return change.room, change


def test_a_kick_sends_out_keeps_out_and_tells_the_others() -> None:
    room, change = _changed(kick(_room("ann", "eve", "bob"), Who(member="m_1"), VERDICT))
    assert list(room.members) == ["m_0", "m_2"]
    assert room.bans == {"eve": Ban("eve", NOW, NOW + 60, "m_host")}
    expel, news = change.effects
    assert expel == Expel(("s_1",), "r", ClosedReason.KICKED, ("r",))
    assert isinstance(news, Announce)
    assert (news.to, news.kind) == (("s_0", "s_2"), "member.left")
    assert json.loads(news.member) == {"id": "m_1", "reason": "kicked"}
    assert [member.id for member in change.gone] == ["m_1"]


def test_the_ban_lasts_as_long_as_the_token_at_least() -> None:
    room, _ = _changed(kick(_room("ann", "eve", expires=NOW + 600), Who(member="m_1"), VERDICT))
    assert room.bans["eve"].until == NOW + 600


def test_a_user_is_sent_out_with_all_sessions_and_kept_out_when_absent() -> None:
    room, change = _changed(kick(_room("ann", "eve", "eve"), Who(user="eve"), VERDICT))
    assert list(room.members) == ["m_0"]
    assert len(change.gone) == 2
    assert room.rseq == 5, "each departure is an event"
    absent, change = _changed(kick(_room("ann"), Who(user="eve"), VERDICT))
    assert (list(absent.bans), change.effects) == (["eve"], ())


def test_a_guest_is_sent_out_without_a_ban() -> None:
    room, change = _changed(kick(_room("ann", None), Who(member="m_1"), VERDICT))
    assert room.bans == {}
    assert isinstance(change.effects[0], Expel)


@pytest.mark.parametrize(("room", "who"), [(None, Who(user="eve")), (_room("ann"), Who(member="m_9"))])
def test_nobody_there(room: Room | None, who: Who) -> None:
    refusal = kick(room, who, VERDICT)
    assert isinstance(refusal, Refusal)
    assert refusal.code is ErrorCode.PEER_NOT_FOUND


def test_bans_have_a_bound_and_forget_those_that_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moderation, "MAX_BANS", 2)
    bans = {user: Ban(user, 0, until, "x") for user, until in (("old", NOW), ("a", NOW + 9), ("b", NOW + 99))}
    room, _ = _changed(kick(msgspec.structs.replace(_room("ann"), bans=bans), Who(user="eve"), VERDICT))
    assert set(room.bans) == {"b", "eve"}


def test_a_ban_is_lifted_and_with_the_last_one_an_empty_room_goes() -> None:
    banned = Room("r", {}, bans={"eve": Ban("eve", 0, NOW + 9, "x")})
    assert lift(banned, "eve", NOW) == Change(None, ())
    refusal = lift(banned, "bob", NOW)
    assert isinstance(refusal, Refusal)
    assert refusal.code is ErrorCode.NOT_FOUND


def test_closing_ends_every_membership_and_keeps_the_bans() -> None:
    kept = _room("ann", "bob", terms=Terms(kept=True))
    change = close(kept)
    assert change.room is None
    assert change.effects == (Expel(("s_0", "s_1"), "r", ClosedReason.CLOSED),)
    assert len(change.gone) == 2
    bans = {"eve": Ban("eve", 0, NOW + 9, "x")}
    room, _ = _changed(close(msgspec.structs.replace(kept, bans=bans)))
    assert (room.members, room.bans, room.is_open) == ({}, bans, False)


def test_what_is_said_of_a_room_reaches_all_its_members() -> None:
    room, change = _changed(describe(_room("ann", "bob"), msgspec.Raw(b'{"topic": 1}'), by="m_0"))
    (sent,) = change.effects
    assert isinstance(sent, Deliver)
    assert sent.to == ("s_0", "s_1")
    frame = json.loads(sent.frame.encode(None))
    assert (frame["type"], frame["from"]) == ("room.updated", "m_0")
    assert frame["data"] == {"room": "r", "rseq": 3, "meta": {"topic": 1}}
    assert bytes(room.meta) == b'{"topic": 1}'


def test_a_member_changes_for_the_others_when_they_can_see_it() -> None:
    room, change = _changed(change_member(_room("ann", "bob"), "s_1", meta=msgspec.Raw(b"7")))
    (news,) = change.effects
    assert isinstance(news, Announce)
    assert (news.to, news.kind, news.rseq) == (("s_0",), "member.updated", 3)
    assert json.loads(news.member) == {"id": "m_1", "meta": 7, "role": "member"}
    longer = Grants("bob", ("*",), expires=NOW + 9)
    room, change = _changed(change_member(room, "s_1", grants=longer))
    assert (change.effects, room.rseq, room.members["m_1"].expires) == ((), 3, NOW + 9)
    room, change = _changed(change_member(room, "s_1", grants=Grants("bob", ("*",), role="host")))
    assert len(change.effects) == 1
    assert isinstance(change_member(room, "s_9"), Refusal)


@pytest.mark.parametrize(
    ("can", "role", "ability", "allowed"),
    [
        (DEFAULT_ABILITIES, "member", Ability.PUBLISH, True),
        (DEFAULT_ABILITIES, "viewer", Ability.PUBLISH, False),
        (DEFAULT_ABILITIES, "viewer", Ability.PRIVATE, True),
        (frozenset({"join"}), "viewer", Ability.PRIVATE, False),
        (DEFAULT_ABILITIES, "host", Ability.MODERATE, True),
        (DEFAULT_ABILITIES, "member", Ability.MODERATE, False),
        (frozenset({"moderate"}), "viewer", Ability.MODERATE, True),
    ],
)
def test_roles_take_what_they_do_not_list_and_give_the_right_to_moderate(
    can: frozenset[str], role: str, ability: Ability, allowed: bool
) -> None:
    room = _room("ann", terms=Terms(roles={"viewer": ("private",), "host": ("publish", "moderate")}))
    assert may(room, Grants("ann", ("r",), can, role), ability) is allowed
