"""Room logic of those who moderate: sending out, keeping out, closing, and what is said of a room and its members.

As in signal_api.protocol.rooms, a change is a value and may be computed several times for one request.
"""

from typing import NamedTuple

import msgspec

from signal_api.protocol.authorization import Ability, Grants
from signal_api.protocol.effects import ClosedReason, Deliver, Effect, Expel, LeaveReason
from signal_api.protocol.messages import NULL, server_frame, to_json
from signal_api.protocol.refusals import ErrorCode, Refusal
from signal_api.protocol.rooms import UNSAID, Ban, Change, Member, Room, Terms, announce, member_of, remains, without

#: bans that one room remembers; beyond it the one that ends first gives way
MAX_BANS = 1024


#: what may be done in a room by who is in it
IN_ROOMS = (Ability.PUBLISH, Ability.PRIVATE, Ability.ICE, Ability.MODERATE)


class Who(NamedTuple):
    """A member by its id, or all that a user is in a room; one of both."""

    member: str | None = None
    user: str | None = None


class Verdict(NamedTuple):
    """For how long (Unix seconds), by whom, and in which rooms they may decide: see Expel.within."""

    since: float
    until: float
    by: str
    within: tuple[str, ...]


class Alteration(msgspec.Struct, frozen=True):
    """What is to hold in a room, and what is attached to it; what is not said stays as it is."""

    capacity: int | msgspec.UnsetType | None = msgspec.UNSET
    password: str | msgspec.UnsetType | None = msgspec.UNSET
    roles: dict[str, tuple[str, ...]] | msgspec.UnsetType = msgspec.UNSET
    kept: bool | msgspec.UnsetType = msgspec.UNSET
    meta: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    def applied_to(self, terms: Terms) -> Terms:
        said = {name: getattr(self, name) for name in Terms.__struct_fields__}
        return msgspec.structs.replace(terms, **{name: it for name, it in said.items() if it is not msgspec.UNSET})


class MemberUpdate(msgspec.Struct, frozen=True):
    """What the others are told of a member that changed."""

    id: str
    meta: msgspec.Raw
    role: str


class RoomUpdate(msgspec.Struct, frozen=True):
    """What the members are told of a room that changed."""

    room: str
    rseq: int
    meta: msgspec.Raw


def may(room: Room, grants: Grants, ability: Ability) -> bool:
    """Whether the token and the terms of the room allow this: roles give the right to moderate, and take the rest."""
    listed = room.terms.roles.get(grants.role)
    granted = grants.allow(ability, room.name)
    if ability is Ability.MODERATE:
        return granted or (listed is not None and ability in listed)
    return granted and (listed is None or ability in listed)


def kick(room: Room | None, who: Who, verdict: Verdict) -> Change | Refusal:
    """Sends members out and keeps their users out, at least until the tokens by which they came have ended.

    A user who is not there is kept out all the same. Who has no user (who came by the join key) has no name to be
    kept out by: its session ends.
    """
    gone = tuple(member for member in room.members.values() if _is_meant(member, who)) if room is not None else ()
    if room is None or (not gone and who.user is None):
        return Refusal(ErrorCode.PEER_NOT_FOUND, "no such member is in the room")
    users = {member.user for member in gone} | {who.user}
    expires = max((member.expires or 0.0 for member in gone), default=0.0)
    until = max(verdict.until, expires)
    bans = dict(room.bans)
    for user in users - {None}:
        assert user is not None
        bans[user] = Ban(user, verdict.since, until, verdict.by)
    change = without(msgspec.structs.replace(room, bans=_bounded(bans, verdict.since)), gone, LeaveReason.KICKED)
    sids = tuple(member.sid for member in gone)
    expel: tuple[Effect, ...] = (Expel(sids, room.name, ClosedReason.KICKED, verdict.within),) if sids else ()
    return change._replace(effects=(*expel, *change.effects))


def lift(room: Room | None, user: str, now: float) -> Change | Refusal:
    """Takes a ban back."""
    if room is None or user not in room.bans:
        return Refusal(ErrorCode.NOT_FOUND, "that user is not banned from the room")
    bans = {name: ban for name, ban in room.bans.items() if name != user and ban.until > now}
    return Change(remains(msgspec.structs.replace(room, bans=bans)), ())


def close(room: Room) -> Change:
    """Ends a room and all memberships; its bans stay, so that it is no way around them."""
    gone = tuple(room.members.values())
    empty = msgspec.structs.replace(room, members={}, terms=UNSAID, rseq=room.rseq + 1)
    sids = tuple(member.sid for member in gone)
    effects: tuple[Effect, ...] = (Expel(sids, room.name, ClosedReason.CLOSED),) if sids else ()
    return Change(remains(empty), effects, None, gone, LeaveReason.SHUTDOWN)


def describe(room: Room, meta: msgspec.Raw, by: str | None = None) -> Change:
    """Sets what is attached to a room and tells all members; `by` is the member who did it."""
    changed = msgspec.structs.replace(room, meta=meta, rseq=room.rseq + 1)
    update = to_json(RoomUpdate(room.name, changed.rseq, meta))
    told = tuple(member.sid for member in room.members.values())
    frame = server_frame("room.updated", update, room=room.name, sender=by)
    return Change(changed, (Deliver(told, frame),) if told else ())


def establish(room: Room | None, name: str, alteration: Alteration) -> Change | Refusal:
    """Opens a room before anybody is in it."""
    if room is not None and room.is_open:
        return Refusal(ErrorCode.CONFLICT, "there is such a room already")
    opened = msgspec.structs.replace(room or Room(name, {}), terms=alteration.applied_to(UNSAID))
    meta = NULL if isinstance(alteration.meta, msgspec.UnsetType) else alteration.meta
    return Change(remains(msgspec.structs.replace(opened, meta=meta)), ())


def alter(room: Room | None, alteration: Alteration) -> Change | Refusal:
    """Changes what holds in a room; members who are in it stay."""
    if room is None or not room.is_open:
        return Refusal(ErrorCode.ROOM_NOT_FOUND, "there is no such room")
    altered = msgspec.structs.replace(room, terms=alteration.applied_to(room.terms))
    if isinstance(alteration.meta, msgspec.UnsetType):
        return Change(remains(altered), ())
    change = describe(altered, alteration.meta)
    return change._replace(room=remains(change.room) if change.room is not None else None)


def change_member(
    room: Room | None, sid: str, meta: msgspec.Raw | None = None, grants: Grants | None = None
) -> Change | Refusal:
    """Sets what is attached to a member, or what its token says of it; the others hear what they can see."""
    before = member_of(room, sid)
    if room is None or before is None:
        return Refusal(ErrorCode.ROOM_NOT_FOUND, "this session is not in that room")
    after = before if meta is None else msgspec.structs.replace(before, meta=meta)
    if grants is not None:
        after = msgspec.structs.replace(after, role=grants.role, expires=grants.expires)
    is_seen = meta is not None or after.role != before.role
    changed = msgspec.structs.replace(
        room, members={**room.members, after.id: after}, rseq=room.rseq + 1 if is_seen else room.rseq
    )
    if not is_seen:
        return Change(changed, (), after)
    others = msgspec.structs.replace(room, members={m.id: m for m in room.members.values() if m is not before})
    update = to_json(MemberUpdate(after.id, after.meta, after.role))
    return Change(changed, announce(others, "member.updated", changed.rseq, update), after)


def _is_meant(member: Member, who: Who) -> bool:
    return member.id == who.member or (member.user is not None and member.user == who.user)


def _bounded(bans: dict[str, Ban], now: float) -> dict[str, Ban]:
    living = sorted((ban for ban in bans.values() if ban.until > now), key=lambda ban: ban.until)
    return {ban.user: ban for ban in living[-MAX_BANS:]}
