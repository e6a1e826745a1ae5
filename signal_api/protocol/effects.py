"""What a change asks for: frames and news for sessions wherever they are, and the ends of memberships and sessions.

An engine takes an effect to the nodes of those whom it names; signal_api.node.delivery carries it out there.
"""

import enum

import msgspec

from signal_api.protocol.messages import ServerFrame
from signal_api.protocol.refusals import CloseCode
from signal_api.protocol.revocations import Revocation


class LeaveReason(enum.StrEnum):
    """Why a member is gone."""

    LEAVE = "leave"
    TIMEOUT = "timeout"
    KICKED = "kicked"
    REPLACED = "replaced"  # a newer session of the same user took the place of this one
    SHUTDOWN = "shutdown"  # its operator ended the session, or the room

    @property
    def is_final(self) -> bool:
        """Whether somebody meant it. A member who was lost on the way may come back as who it was, and its calls do
        not hang on this server: what it may relay ends when its session is forgotten."""
        return self is not LeaveReason.TIMEOUT

    @property
    def is_own(self) -> bool:
        """Whether the member itself went, or was lost, and nobody sent it away."""
        return self in (LeaveReason.LEAVE, LeaveReason.TIMEOUT, LeaveReason.REPLACED)


class ClosedReason(enum.StrEnum):
    """Why a room is closed to one session: what `room.closed` says."""

    CLOSED = "closed"
    KICKED = "kicked"
    NOT_GRANTED = "not_granted"  # the token that granted it has ended, or was replaced by one that does not


class Receipt(msgspec.Struct, frozen=True):
    """Who is told when a frame is lost with the session that it was for: the sender's session, its id of the frame,
    and the member whom it did not reach."""

    sid: str
    id: str
    room: str
    to: str


class Deliver(msgspec.Struct, frozen=True, tag=True):
    """A frame for these sessions, now. `receipts` is empty, or has one for each of them."""

    to: tuple[str, ...]
    frame: ServerFrame
    receipts: tuple[Receipt, ...] = ()


class Announce(msgspec.Struct, frozen=True, tag=True):
    """A membership event for these sessions; several may travel in one frame. `member` is JSON."""

    to: tuple[str, ...]
    kind: str
    room: str
    rseq: int
    member: bytes


class Expel(msgspec.Struct, frozen=True, tag=True):
    """These sessions are no members of a room any more. A kick takes the token with it where `within` (rooms, or
    beginnings of rooms that end in `*`) holds all that the token grants: nobody ends more than is theirs."""

    to: tuple[str, ...]
    room: str
    reason: ClosedReason
    within: tuple[str, ...] = ()


class End(msgspec.Struct, frozen=True, tag=True):
    """These sessions end for good: their connections with this code, their memberships for this reason."""

    to: tuple[str, ...]
    code: CloseCode
    reason: LeaveReason


class Tell(msgspec.Struct, frozen=True, tag=True):
    """A frame for every session of a user, on every node."""

    user: str
    frame: ServerFrame


class Revoked(msgspec.Struct, frozen=True, tag=True):
    """Every node learns a revocation, and ends the sessions that it covers."""

    revocation: Revocation


class Person(msgspec.Struct, frozen=True):
    """A member, as back ends are told of it; by `turn_user` its relays are found."""

    id: str
    user: str | None
    turn_user: str


class Happened(msgspec.Struct, frozen=True, tag=True):
    """What a change made of a room, for the webhooks of the node that changed it, which learns so by the same step:
    its own answer may be lost."""

    room: str
    opened: bool
    closed: bool
    joined: Person | None
    gone: tuple[Person, ...]
    reason: LeaveReason


class Reported(msgspec.Struct, frozen=True, tag=True):
    """How a connection of a member went, as JSON, for the webhooks of the node that was told."""

    room: str
    member: str
    report: bytes


#: what is for the sessions that it names in `to`
Addressed = Deliver | Announce | Expel | End
#: what is for every node
Broadcast = Tell | Revoked
#: what is for the node that asked for it
Own = Happened | Reported
Effect = Addressed | Broadcast | Own
