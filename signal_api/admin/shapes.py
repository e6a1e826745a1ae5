"""What the admin API takes and gives."""

import json
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from signal_api.clients import Client
from signal_api.protocol.messages import MAX_DEPTH, nesting
from signal_api.protocol.refusals import ErrorCode, Refusal
from signal_api.protocol.rooms import MAX_META, Ban, Member, Room
from signal_api.web.problems import RefusedError

T = TypeVar("T")


def _whole(number: Any) -> Any:
    """JSON knows no integers: 5.0 is 5."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


RoomName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
UserName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Password = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Role = Annotated[str, StringConstraints(min_length=1, max_length=32)]
Capacity = Annotated[int, Field(ge=1, le=100000), BeforeValidator(_whole)]
Roles = Annotated[dict[Role, list[Literal["publish", "private", "ice", "moderate"]]], Field(max_length=16)]
#: a year at most
Seconds = Annotated[float, Field(ge=0, le=31536000, allow_inf_nan=False)]


class _Request(BaseModel):
    """Strict: `false` is no number of seconds."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Page(BaseModel, Generic[T]):
    """`next` goes into `after` of the next request; null on the last page."""

    items: list[T]
    next: str | None


class RoomChange(_Request):
    """What is left out stays as it is."""

    capacity: Capacity | None = None
    password: Password | None = None
    roles: Roles = {}
    meta: Any = None
    kept: bool = Field(default=True, description="Whether the room stands without members.")


class NewRoom(RoomChange):
    name: RoomName


_UNREAD: Any = Field(default=None, description="What is attached, as text, where it cannot be read as JSON.")


class MemberView(BaseModel):
    id: str
    sid: str
    user: str | None
    order: int
    role: str
    joined_at: int = Field(description="Unix time in milliseconds.")
    meta: Any
    meta_text: str | None = _UNREAD

    @classmethod
    def of(cls, member: Member) -> "MemberView":
        return cls(
            id=member.id,
            sid=member.sid,
            user=member.user,
            order=member.order,
            role=member.role,
            joined_at=member.joined_at,
            **shown(member.meta),
        )


class BanView(BaseModel):
    user: str
    since: float = Field(description="Unix time.")
    until: float = Field(description="Unix time.")
    by: str

    @classmethod
    def of(cls, ban: Ban) -> "BanView":
        return cls(user=ban.user, since=ban.since, until=ban.until, by=ban.by)


class RoomView(BaseModel):
    name: str
    open: bool = Field(description="False for a room of which only bans are left.")
    kept: bool
    capacity: int | None
    has_password: bool
    roles: dict[str, list[str]]
    meta: Any
    meta_text: str | None = _UNREAD
    rseq: int
    members: list[MemberView]
    bans: list[BanView]

    @classmethod
    def of(cls, room: Room, now: float) -> "RoomView":
        return cls(
            name=room.name,
            open=room.is_open,
            kept=room.terms.kept,
            capacity=room.terms.capacity,
            has_password=room.terms.password is not None,
            roles={role: list(abilities) for role, abilities in room.terms.roles.items()},
            **shown(room.meta),
            rseq=room.rseq,
            members=[MemberView.of(member) for member in room.members.values()],
            bans=[BanView.of(ban) for ban in room.bans.values() if ban.until > now],
        )


def shown(meta: msgspec.Raw) -> dict[str, Any]:
    """What is attached to a room or a member, as a value, or else as the text that it is: a record may be older than
    the rules that keep out what nobody can read."""
    text = bytes(meta)
    try:
        if len(text) <= MAX_META and nesting(text) <= MAX_DEPTH:
            return {"meta": msgspec.json.decode(text)}
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    return {"meta": None, "meta_text": text[:MAX_META].decode(errors="replace")}


def _names(who: str) -> dict[str, Any]:
    return {"required": [who], "properties": {who: {"type": "string"}}}


class Kick(_Request):
    """A member, or all that a user is in the room; without `seconds` for as long as is configured."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_names("member"), _names("user")]})

    member: str | None = None
    user: UserName | None = None
    seconds: Seconds | None = None


class NewBan(_Request):
    user: UserName
    seconds: Seconds | None = None


class Kicked(BaseModel):
    members: list[str]
    guests: list[str] = Field(
        description="Those of them who came without a name of their own, by the join key or by none: a ban holds for a "
        "name, so they may come back. Change signal_api.join_key, or let people in by tokens, to keep them out."
    )


class Publication(_Request):
    """A frame from the server: `from` is null."""

    type: str = Field(default="message", pattern=r"^(message|x\.[a-z0-9._-]{1,30})$")
    data: Any = None


class RoomPublication(Publication):
    to: list[str] | None = Field(default=None, min_length=1, max_length=100, description="Members; null for all.")


class Published(BaseModel):
    recipients: int | None = Field(description="Sessions; null where other nodes may have more.")


class SessionView(BaseModel):
    """A session of the node that answers."""

    sid: str
    user: str | None
    role: str
    transport: str | None = Field(description="Null while it is away.")
    rooms: list[str]
    expires: float | None = Field(description="The end of its token, Unix time.")

    @classmethod
    def of(cls, client: Client) -> "SessionView":
        return cls(
            sid=client.sid,
            user=client.grants.user,
            role=client.grants.role,
            transport=client.connection.transport if client.connection is not None else None,
            rooms=list(client.session.rooms),
            expires=client.grants.expires,
        )


class Stats(BaseModel):
    """`rooms` and `members` are of all nodes, as this one last knew; the rest is this node's."""

    version: str
    connected: int
    away: int
    rooms: int
    members: int
    revocations: int
    draining: bool


class NewRevocation(_Request):
    """One token by its `jti`, or every token that a user was given until now."""

    kind: Literal["token", "user"]
    id: UserName
    seconds: Seconds = Field(default=86400, description="As long as the tokens live.")


class RevocationView(BaseModel):
    kind: str
    id: str
    at: float
    until: float


class TurnRevocation(_Request):
    """TURN credentials by the part of their user name behind the expiry."""

    user: Annotated[str, StringConstraints(min_length=1, max_length=508)]


class Drain(_Request):
    window: float = Field(default=10, ge=0, le=3600, description="Seconds over which clients are sent away.")


def json_of(value: Any, limit: int) -> msgspec.Raw:
    """Any JSON of a request as it goes out; raises RefusedError for what no client could read."""
    try:
        text = json.dumps(value, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        raise RefusedError(Refusal(ErrorCode.BAD_REQUEST, "the data is no JSON: NaN, Infinity or too deep")) from None
    if len(text) > limit:
        raise RefusedError(Refusal(ErrorCode.FRAME_TOO_LARGE, f"this holds at most {limit} bytes of JSON"))
    if nesting(text) > MAX_DEPTH - 2:  # in a frame, in its data
        raise RefusedError(Refusal(ErrorCode.BAD_REQUEST, f"a frame nests at most {MAX_DEPTH} levels deep"))
    return msgspec.Raw(text)
