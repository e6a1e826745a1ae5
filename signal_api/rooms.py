"""Room logic: who is in a room, in what order, and who is told. A room is a value; every change returns a new one.

A change is committed by an engine under compare-and-set, so the functions here may run several times for one
request and have no effect but their result.
"""

import enum
from typing import NamedTuple

import msgspec

from signal_api.messages import NULL, Recipients, ServerFrame, ToUser, to_json
from signal_api.refusals import ErrorCode, Refusal

#: bytes of JSON that one member may attach to itself
MAX_META = 2048


class LeaveReason(enum.StrEnum):
    """Why a member is gone."""

    LEAVE = "leave"
    TIMEOUT = "timeout"


class Member(msgspec.Struct, frozen=True):
    """One session in one room. `sid` never leaves the server; `joined_at` is Unix time in milliseconds."""

    id: str
    sid: str
    user: str | None
    order: int
    joined_at: int
    meta: msgspec.Raw = NULL


class Room(msgspec.Struct, frozen=True):
    """A room that has members.

    `rseq` counts its membership events, so that a snapshot and the events around it can be merged; `next_order` is
    what the next member gets: of a pair, the member with the larger order is polite and makes the first offer.
    """

    name: str
    members: dict[str, Member]
    rseq: int = 0
    next_order: int = 1


class MemberView(msgspec.Struct, frozen=True):
    """What the members of a room know of each other."""

    id: str
    user: str | None
    order: int
    meta: msgspec.Raw
    joined_at: int


class Departure(msgspec.Struct, frozen=True):
    """What the members are told of one who left."""

    id: str
    reason: LeaveReason


class Deliver(msgspec.Struct, frozen=True):
    """A frame for these sessions, now."""

    to: tuple[str, ...]
    frame: ServerFrame


class Announce(msgspec.Struct, frozen=True):
    """A membership event for these sessions; several may travel in one frame. `member` is JSON."""

    to: tuple[str, ...]
    kind: str
    room: str
    rseq: int
    member: bytes


Effect = Deliver | Announce


class Change(NamedTuple):
    """A room after a change (None when nobody is left), who changed, and what is to be sent."""

    room: Room | None
    member: Member
    effects: tuple[Effect, ...]


class Candidate(NamedTuple):
    """Who wants to be a member. `order` is what it had before it was dropped, kept when it is still free."""

    member: str
    sid: str
    user: str | None
    meta: msgspec.Raw = NULL
    order: int | None = None


def join(room: Room | None, name: str, candidate: Candidate, now_ms: int, capacity: int) -> Change | Refusal:
    """Adds a member; None is the room that does not exist yet."""
    room = room or Room(name, {})
    if any(member.sid == candidate.sid for member in room.members.values()):
        return Refusal(ErrorCode.ALREADY_JOINED, "this session is already in the room")
    if len(room.members) >= capacity:
        return Refusal(ErrorCode.ROOM_FULL, f"the room has {capacity} members, which is its limit")
    order = _order(room, candidate.order)
    member = Member(candidate.member, candidate.sid, candidate.user, order, now_ms, candidate.meta)
    rseq = room.rseq + 1
    told = _sessions(room)
    joined = Room(name, {**room.members, member.id: member}, rseq, max(room.next_order, order + 1))
    return Change(joined, member, _announce(told, "member.joined", name, rseq, to_json(view(member))))


def leave(room: Room | None, sid: str, reason: LeaveReason) -> Change | Refusal:
    """Removes the member that a session is."""
    member = member_of(room, sid)
    if room is None or member is None:
        return Refusal(ErrorCode.ROOM_NOT_FOUND, "this session is not in that room")
    rest = {other.id: other for other in room.members.values() if other is not member}
    if not rest:
        return Change(None, member, ())
    left = Room(room.name, rest, room.rseq + 1, room.next_order)
    news = to_json(Departure(member.id, reason))
    return Change(left, member, _announce(_sessions(left), "member.left", room.name, left.rseq, news))


def recipients(room: Room, sender: Member, to: Recipients) -> tuple[str, ...] | Refusal:
    """The sessions that a frame goes to: "*" is everybody else; nobody is reached outside the room."""
    if to == "*":
        return tuple(member.sid for member in room.members.values() if member is not sender)
    if isinstance(to, ToUser):
        found = tuple(m.sid for m in room.members.values() if m.user == to.user and m is not sender)
        return found or Refusal(ErrorCode.PEER_NOT_FOUND, "no other session of that user is in the room")
    wanted = (to,) if isinstance(to, str) else tuple(dict.fromkeys(to))
    members = [room.members.get(name) for name in wanted]
    if None in members:
        return Refusal(ErrorCode.PEER_NOT_FOUND, "no such member is in the room")
    return tuple(member.sid for member in members if member is not None)


def member_of(room: Room | None, sid: str) -> Member | None:
    """The member that a session is in a room."""
    members = room.members.values() if room is not None else ()
    return next((member for member in members if member.sid == sid), None)


def view(member: Member) -> MemberView:
    """A member as the others see it."""
    return MemberView(member.id, member.user, member.order, member.meta, member.joined_at)


def _order(room: Room, kept: int | None) -> int:
    taken = {member.order for member in room.members.values()}
    return room.next_order if kept is None or kept in taken else kept


def _sessions(room: Room) -> tuple[str, ...]:
    return tuple(member.sid for member in room.members.values())


def _announce(to: tuple[str, ...], kind: str, room: str, rseq: int, member: bytes) -> tuple[Effect, ...]:
    return (Announce(to, kind, room, rseq, member),) if to else ()
