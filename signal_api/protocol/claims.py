"""Rooms whose members choose their own ids: an id belongs to who came first, and to nobody else while it is there.

What proves an owner is up to the caller; here it is a text that is equal or not. As with every change of a room, the
engine's compare-and-set decides between two who come at once, on whichever nodes they are.
"""

from typing import NamedTuple

import msgspec

from signal_api.protocol.effects import End, LeaveReason
from signal_api.protocol.refusals import CloseCode, ErrorCode, Refusal
from signal_api.protocol.rooms import Candidate, Change, Room, join


class Claim(NamedTuple):
    """An id, and who wants it."""

    id: str
    owner: str


def claim(
    room: Room | None, name: str, wanted: Claim, candidate: Candidate, now_ms: int, capacity: int
) -> Change | Refusal:
    """Adds a member under an id of its own; its owner may take it over from a session that is still there, and then
    nothing changes for the others."""
    held = room.members.get(wanted.id) if room is not None else None
    if room is None or held is None:
        return _owned(join(room, name, candidate._replace(member=wanted.id), now_ms, capacity), wanted.owner)
    if held.owner != wanted.owner:
        return Refusal(ErrorCode.ID_TAKEN, "somebody else has this id")
    member = msgspec.structs.replace(held, sid=candidate.sid, turn_user=candidate.turn_user)
    taken = msgspec.structs.replace(room, members={**room.members, member.id: member})
    return Change(taken, (End((held.sid,), CloseCode.REPLACED, LeaveReason.REPLACED),), member)


def _owned(change: Change | Refusal, owner: str) -> Change | Refusal:
    if isinstance(change, Refusal):
        return change
    assert change.room is not None  # Somebody has just come in.
    assert change.member is not None
    member = msgspec.structs.replace(change.member, owner=owner)
    room = msgspec.structs.replace(change.room, members={**change.room.members, member.id: member})
    return change._replace(room=room, member=member)
