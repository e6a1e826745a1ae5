"""Room logic: who is in a room, in what order, and who is told. A room is a value; every change returns a new one.

A change is committed by an engine under compare-and-set, so the functions here may run several times for one
request and have no effect but their result.
"""

from typing import NamedTuple

import msgspec

from signal_api.protocol.effects import Announce, Effect, LeaveReason
from signal_api.protocol.messages import NULL, Recipients, ToUser, to_json
from signal_api.protocol.refusals import ErrorCode, Refusal

#: bytes of JSON that one member may attach to itself, and that a room may have attached
MAX_META = 2048


class Member(msgspec.Struct, frozen=True):
    """One session in one room. `sid` never leaves the server, nor does `owner`, whose id this is where ids are chosen
    by clients; `joined_at` is Unix time in milliseconds, `expires` the end of the token that let it in, in Unix
    seconds; `turn_user` is the user id of its TURN credentials here."""

    id: str
    sid: str
    user: str | None
    order: int
    joined_at: int
    meta: msgspec.Raw = NULL
    role: str = "member"
    expires: float | None = None
    turn_user: str = ""
    owner: str | None = None


class Terms(msgspec.Struct, frozen=True):
    """What holds in one room: None for the limit of all rooms, an argon2 hash where a password is asked for.

    `roles` says what the members of a role may do here: it gives `moderate` to the roles that list it, and takes from
    a role that it names what it does not list. A room that is `kept` stands without members.
    """

    capacity: int | None = None
    password: str | None = None
    roles: dict[str, tuple[str, ...]] = {}
    kept: bool = False


#: what holds where nobody said anything
UNSAID = Terms()


class Ban(msgspec.Struct, frozen=True):
    """A user stays out of a room until then; times are Unix seconds, `by` says who wanted it so."""

    user: str
    since: float
    until: float
    by: str


class Room(msgspec.Struct, frozen=True):
    """A room that has members, is kept, or remembers a ban.

    `rseq` counts its events, so that a snapshot and the events around it can be merged; `next_order` is what the next
    member gets: of a pair, the member with the larger order is polite and makes the first offer.
    """

    name: str
    members: dict[str, Member]
    rseq: int = 0
    next_order: int = 1
    meta: msgspec.Raw = NULL
    terms: Terms = UNSAID
    bans: dict[str, Ban] = {}

    @property
    def is_open(self) -> bool:
        """Whether one may join it without opening it."""
        return bool(self.members) or self.terms.kept

    @property
    def until(self) -> float | None:
        """When it may be forgotten (Unix seconds); None while it is open."""
        return None if self.is_open else max((ban.until for ban in self.bans.values()), default=0.0)


class MemberView(msgspec.Struct, frozen=True):
    """What the members of a room know of each other."""

    id: str
    user: str | None
    order: int
    meta: msgspec.Raw
    joined_at: int
    role: str


class Departure(msgspec.Struct, frozen=True):
    """What the members are told of one who left."""

    id: str
    reason: LeaveReason


class Change(NamedTuple):
    """A room after a change (None when nothing is left of it), what is to be sent, who came or was changed, and who
    is gone and why."""

    room: Room | None
    effects: tuple[Effect, ...]
    member: Member | None = None
    gone: tuple[Member, ...] = ()
    reason: LeaveReason = LeaveReason.LEAVE


class Candidate(NamedTuple):
    """Who wants to be a member. `order` is what it had before it was dropped, kept when it is still free; `proven` is
    the hash of the password that it knows; `terms` and `room_meta` are for the room that it opens."""

    member: str
    sid: str
    user: str | None
    meta: msgspec.Raw = NULL
    order: int | None = None
    role: str = "member"
    expires: float | None = None
    proven: str | None = None
    terms: Terms = UNSAID
    room_meta: msgspec.Raw = NULL
    turn_user: str = ""


def join(room: Room | None, name: str, candidate: Candidate, now_ms: int, capacity: int) -> Change | Refusal:
    """Adds a member; None is the room that does not exist yet. `capacity` is the limit of all rooms."""
    opens = room is None or not room.is_open
    room = _opened(room, name, candidate) if opens else room
    assert room is not None  # It stood already, or was opened just now.
    if any(member.sid == candidate.sid for member in room.members.values()):
        return Refusal(ErrorCode.ALREADY_JOINED, "this session is already in the room")
    refusal = _turned_away(room, candidate, now_ms / 1000, knows_password=opens, capacity=capacity)
    if refusal is not None:
        return refusal
    order = _order(room, candidate.order)
    member = Member(
        candidate.member,
        candidate.sid,
        candidate.user,
        order,
        now_ms,
        candidate.meta,
        candidate.role,
        candidate.expires,
        candidate.turn_user,
    )
    joined = msgspec.structs.replace(
        room,
        members={**room.members, member.id: member},
        rseq=room.rseq + 1,
        next_order=max(room.next_order, order + 1),
    )
    return Change(joined, announce(room, "member.joined", joined.rseq, to_json(view(member))), member)


def leave(room: Room | None, sid: str, reason: LeaveReason) -> Change | Refusal:
    """Removes the member that a session is."""
    member = member_of(room, sid)
    if room is None or member is None:
        return Refusal(ErrorCode.ROOM_NOT_FOUND, "this session is not in that room")
    return without(room, (member,), reason)


def without(room: Room, gone: tuple[Member, ...], reason: LeaveReason) -> Change:
    """Removes members, and tells those who stay of each."""
    names = {member.id for member in gone}
    rest = {name: member for name, member in room.members.items() if name not in names}
    left = msgspec.structs.replace(room, members=rest)
    effects: list[Effect] = []
    for member in gone:
        left = msgspec.structs.replace(left, rseq=left.rseq + 1)
        effects += announce(left, "member.left", left.rseq, to_json(Departure(member.id, reason)))
    return Change(remains(left), tuple(effects), gone[0] if gone else None, gone, reason)


def remains(room: Room) -> Room | None:
    """What is kept of a room: all of it while it is open, then its bans alone."""
    if room.is_open:
        return room
    return msgspec.structs.replace(room, meta=NULL, terms=UNSAID) if room.bans else None


def ruins(name: str) -> Room:
    """What stands for a room of which the record cannot be read, with its password and its bans: nobody comes in until
    a back end closes it."""
    said = to_json("the record of this room cannot be read; close the room to be rid of it")
    return Room(name, {}, meta=msgspec.Raw(said), terms=Terms(capacity=0, kept=True))


def recipients(room: Room, sender: Member, to: Recipients) -> tuple[str, ...] | Refusal:
    """The sessions that a frame goes to: "*" is everybody else; nobody is reached outside the room."""
    if to == "*":
        return tuple(member.sid for member in room.members.values() if member is not sender)
    if isinstance(to, str) and (member := room.members.get(to)) is not None:
        return (member.sid,)
    if isinstance(to, ToUser):
        found = tuple(m.sid for m in room.members.values() if m.user == to.user and m is not sender)
        return found or Refusal(ErrorCode.PEER_NOT_FOUND, "no other session of that user is in the room")
    wanted = (to,) if isinstance(to, str) else tuple(dict.fromkeys(to))
    members = [room.members.get(name) for name in wanted]
    if None in members:
        absent = [name for name in wanted if name not in room.members]
        return Refusal(ErrorCode.PEER_NOT_FOUND, "no such member is in the room", details={"to": absent})
    return tuple(member.sid for member in members if member is not None)


def member_of(room: Room | None, sid: str) -> Member | None:
    """The member that a session is in a room."""
    members = room.members.values() if room is not None else ()
    return next((member for member in members if member.sid == sid), None)


def view(member: Member) -> MemberView:
    """A member as the others see it."""
    return MemberView(member.id, member.user, member.order, member.meta, member.joined_at, member.role)


def announce(room: Room, kind: str, rseq: int, member: bytes) -> tuple[Effect, ...]:
    """A membership event for all who are in the room."""
    told = tuple(member.sid for member in room.members.values())
    return (Announce(told, kind, room.name, rseq, member),) if told else ()


def _opened(room: Room | None, name: str, candidate: Candidate) -> Room:
    """The bans of a room outlive its members; all else begins with who opens it. No member keeps a room open."""
    room, terms = room or Room(name, {}), msgspec.structs.replace(candidate.terms, kept=False)
    return msgspec.structs.replace(room, terms=terms, meta=candidate.room_meta)


def _turned_away(room: Room, candidate: Candidate, now: float, knows_password: bool, capacity: int) -> Refusal | None:
    ban = room.bans.get(candidate.user) if candidate.user is not None else None
    if ban is not None and now < ban.until:
        wrong = "you were sent out of this room, and may not come back yet"
        return Refusal(ErrorCode.BANNED, wrong, details={"until": ban.until})
    if room.terms.password is not None and not knows_password and candidate.proven != room.terms.password:
        return Refusal(ErrorCode.WRONG_PASSWORD, "the room asks for its password, and this was not it")
    most = capacity if room.terms.capacity is None else min(capacity, room.terms.capacity)
    if len(room.members) >= most:
        return Refusal(
            ErrorCode.ROOM_FULL, f"the room has {most} members, which is its limit", details={"members": most}
        )
    return None


def _order(room: Room, kept: int | None) -> int:
    taken = {member.order for member in room.members.values()}
    return room.next_order if kept is None or kept in taken else kept
