"""What stands in `data` of the frames that client and server say to each other, rather than to the other members."""

import math
from typing import Annotated, Any, Literal

import msgspec

from fairlead.clock import Now
from signal_api.policy import Policy
from signal_api.protocol.messages import MAX_RECIPIENTS, NULL, Name, RoomName, to_json
from signal_api.protocol.rooms import MAX_META
from signal_api.protocol.sessions import ResumeFailure, Session

PROTOCOL = 1
FEATURES = [
    "rooms", "presence", "private", "users", "resume", "ice", "token",
    "meta", "passwords", "roles", "kick", "undelivered", "report",
]  # fmt: skip

Text = Annotated[str, msgspec.Meta(max_length=8192)]


class Resume(msgspec.Struct, frozen=True):
    """A session to go on with: `after` is the last event id, `<epoch>.<seq>`, or the number alone."""

    sid: Text
    key: Text
    after: Annotated[float, msgspec.Meta(ge=0)] | Text
    epoch: Text | None = None


class Hello(msgspec.Struct, frozen=True):
    """The first frame of a connection; `rooms` are joined at once."""

    v: Annotated[int, msgspec.Meta(extra_json_schema={"const": PROTOCOL})]
    token: Text | None = None
    resume: Resume | None = None
    rooms: Annotated[list[RoomName], msgspec.Meta(max_length=64)] = []


class Welcome(msgspec.Struct, frozen=True):
    """Session id and key are all that a client needs to come back; `server_time` is Unix time in milliseconds."""

    sid: str
    key: str
    epoch: str
    resumed: bool
    ping_ms: int
    timeout_ms: int
    limits: dict[str, int]
    features: list[str]
    server_time: int
    reason: str | msgspec.UnsetType = msgspec.UNSET


Password = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
#: what the members of a role may be allowed in a room
RoleAbility = Literal["publish", "private", "ice", "moderate"]
Roles = Annotated[
    dict[Annotated[str, msgspec.Meta(min_length=1, max_length=32)], tuple[RoleAbility, ...]],
    msgspec.Meta(max_length=16),
]


class Create(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds in a room, for the one who opens it to say; see signal_api.protocol.rooms.Terms."""

    capacity: Annotated[int, msgspec.Meta(ge=1, le=100000)] | None = None
    password: Password | None = None
    meta: msgspec.Raw = NULL
    roles: Roles = {}


class Join(msgspec.Struct, frozen=True):
    """`room` may stand here or in the envelope. `token` counts in this room instead of the session's; `create` counts
    when nobody is in the room."""

    room: RoomName | None = None
    meta: msgspec.Raw = NULL
    password: Password | None = None
    token: Text | None = None
    create: Create | None = None


class MetaSet(msgspec.Struct, frozen=True):
    """What is attached to the member who says it, and to the room."""

    room: RoomName | None = None
    meta: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    room_meta: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


#: seconds, a year at most
Seconds = Annotated[float, msgspec.Meta(ge=0, le=31536000)]


class Kick(msgspec.Struct, frozen=True):
    """Sends out a member, or all that a user is in the room; without `seconds` for as long as is configured."""

    room: RoomName | None = None
    member: Name | None = None
    user: Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None = None
    seconds: Seconds | None = None


class Unban(msgspec.Struct, frozen=True):
    user: str
    room: RoomName | None = None


class Leave(msgspec.Struct, frozen=True):
    room: RoomName | None = None


class Token(msgspec.Struct, frozen=True):
    """A fresh token for the same user; with a room, for the membership that has a token of its own."""

    token: Text
    room: RoomName | None = None


class Self(msgspec.Struct, frozen=True):
    id: str
    order: int


class Joined(msgspec.Struct, frozen=True):
    """A room as it was when the client came in: `members` are the others, `rseq` the last event that they reflect,
    `can` what the client may do here."""

    room: str
    self: Self
    members: list[Any]
    meta: msgspec.Raw
    role: str
    can: list[str]
    rseq: int
    limits: dict[str, int]
    ice: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


def welcome(
    policy: Policy, session: Session, key: str, now: Now, failure: ResumeFailure | None = None, resumed: bool = False
) -> bytes:
    """The data of a welcome; `failure` says why a session could not be resumed."""
    times, limits = policy.times, policy.limits
    told = {
        "frame_bytes": limits.frame_bytes,
        "frames_per_second": math.floor(limits.frames_per_second),
        "frame_burst": limits.frame_burst,
        "rooms": limits.rooms_per_session,
        "members": limits.members_per_room,
        "recipients": MAX_RECIPIENTS,
        "meta_bytes": MAX_META,
    }
    body = Welcome(
        sid=session.sid,
        key=key,
        epoch=session.epoch,
        resumed=resumed,
        ping_ms=round(times.ping_interval * 1000),
        timeout_ms=round(times.ping_timeout * 1000),
        limits=told,
        features=FEATURES,
        server_time=round(now.wall * 1000),
        reason=msgspec.UNSET if failure is None else failure.value,
    )
    return to_json(body)
