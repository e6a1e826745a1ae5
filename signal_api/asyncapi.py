"""The AsyncAPI 3 document of sig.v1, made of the structs that read and write the frames."""

from typing import Any, NamedTuple

import msgspec

from fairlead import __version__
from signal_api.node.budgets import Quota
from signal_api.node.delivery import Undelivered
from signal_api.node.frames import Create, Hello, Join, Joined, Kick, Leave, MetaSet, Token, Unban, Welcome
from signal_api.node.turn_link import TurnNotice
from signal_api.protocol.messages import NEGOTIATION, ClientFrame, Problem
from signal_api.protocol.moderation import MemberUpdate, RoomUpdate
from signal_api.protocol.rooms import Departure, MemberView
from signal_api.relay.reports import Report
from signal_api.transports.closing import Close


# JSON that is carried as it came has no schema of its own; `Any` says the same of it in words.
class Creation(Create, frozen=True):
    """What holds in a room, for the one who opens it to say."""

    meta: Any = None


class JoinRequest(Join, frozen=True):
    """`token` counts in this room instead of the session's; `create` counts when nobody is in the room."""

    meta: Any = None
    create: Creation | None = None


class ServerEnvelope(msgspec.Struct, frozen=True):
    """Around every frame of the server. `seq` is on frames that survive a reconnect, `re` on replies, `from` and `ts`
    (Unix time in milliseconds) on what another member sent."""

    type: str
    seq: int | None = None
    re: str | None = None
    room: str | None = None
    sender: str | None = msgspec.field(default=None, name="from")
    ts: int | None = None


class Arrivals(msgspec.Struct, frozen=True):
    """Members who came in; `rseq` is the last event that this reflects."""

    room: str
    rseq: int
    members: list[MemberView]


class Updates(msgspec.Struct, frozen=True):
    """Members who changed."""

    room: str
    rseq: int
    members: list[MemberUpdate]


class Departures(msgspec.Struct, frozen=True):
    """Members who left."""

    room: str
    rseq: int
    members: list[Departure]


class Closed(msgspec.Struct, frozen=True):
    """Why a room is no place for this client any more."""

    reason: str


class Retry(msgspec.Struct, frozen=True):
    """When to come back, so that not all come at once, and the origins of other servers that may be tried first, in any
    order; who came by one of them leaves that out."""

    retry_ms: int
    alternatives: list[str]


class IceUpdate(msgspec.Struct, frozen=True):
    """Servers with fresh credentials, as in `joined`; `restart` asks for an ICE restart with them. `reason` is
    `draining` where a server is about to stop, and `not_granted`, without a credential, for who may relay no more."""

    iceServers: list[dict[str, Any]] | msgspec.UnsetType = msgspec.UNSET  # noqa: N815 - the W3C's name
    restart: bool | msgspec.UnsetType = msgspec.UNSET
    reason: str | msgspec.UnsetType = msgspec.UNSET
    message: str | msgspec.UnsetType = msgspec.UNSET


class FrameDoc(NamedTuple):
    """A type of frame: what `data` holds (None: nothing, Any: what the sender likes), and what it is for."""

    data: Any
    summary: str


_TO_MEMBERS = FrameDoc(Any, "To the members in `to`, carried as it is: a W3C description or candidate.")
_FROM_MEMBER = FrameDoc(Any, "From the member in `from`, as it was sent.")

FROM_CLIENT: dict[str, FrameDoc] = {
    "hello": FrameDoc(Hello, "The first frame of a connection."),
    "join": FrameDoc(JoinRequest, "Go into a room; answered by `joined`."),
    "leave": FrameDoc(Leave, "Go out of a room."),
    **dict.fromkeys(sorted(NEGOTIATION), _TO_MEMBERS),
    "message": FrameDoc(Any, "Of the application, to one, some or all in a room."),
    "meta.set": FrameDoc(MetaSet, "Change what is attached to this member, or to the room."),
    "kick": FrameDoc(Kick, "Send somebody out, for who moderates the room."),
    "unban": FrameDoc(Unban, "Let somebody in again."),
    "token": FrameDoc(Token, "Renew the token inside the session."),
    "report": FrameDoc(Report, "What became of one peer connection."),
    "ping": FrameDoc(None, "Answered by `pong`."),
    "pong": FrameDoc(None, "The answer to `ping`."),
}
FROM_SERVER: dict[str, FrameDoc] = {
    "welcome": FrameDoc(Welcome, "The session, or that it goes on."),
    "joined": FrameDoc(Joined, "The room as it is, with ICE servers and credentials."),
    "member.joined": FrameDoc(Arrivals, "Somebody came in."),
    "member.left": FrameDoc(Departures, "Somebody left."),
    "member.updated": FrameDoc(Updates, "Somebody changed what is attached to it."),
    "room.updated": FrameDoc(RoomUpdate, "What is attached to the room changed."),
    "room.closed": FrameDoc(Closed, "This room is closed to this client."),
    **dict.fromkeys(sorted(NEGOTIATION), _FROM_MEMBER),
    "message": _FROM_MEMBER,
    "ice": FrameDoc(IceUpdate, "Fresh servers and credentials, before the old ones end."),
    "turn": FrameDoc(TurnNotice, "A relay allocation was refused, or ended not by its client."),
    "quota": FrameDoc(Quota, "A relay budget is nearly used, or used up."),
    "undelivered": FrameDoc(Undelivered, "A frame was not taken by its receiver in time."),
    "drain": FrameDoc(Retry, "This server is about to stop."),
    "close": FrameDoc(Close, "The end of a connection over HTTP, with the number of a WebSocket's close."),
    "ok": FrameDoc(None, "The frame named by `re` took effect."),
    "error": FrameDoc(Problem, "The frame named by `re` was refused."),
    "ping": FrameDoc(None, "Answer with `pong`, or with any other frame."),
    "pong": FrameDoc(None, "The answer to `ping`."),
}

_TEMPLATE = "#/components/schemas/{name}"


class ClientEnvelope(ClientFrame, frozen=True):
    """Around every frame of a client: `id` is echoed as `re`, and makes a repeated frame take effect once; `ack` is the
    highest `seq` that was processed."""

    data: Any = None


def asyncapi() -> dict[str, Any]:
    """The document, ready to be served as JSON."""
    ways = {"client": FROM_CLIENT, "server": FROM_SERVER}
    envelopes = {"client": ClientEnvelope, "server": ServerEnvelope}
    structs = [frame.data for frames in ways.values() for frame in frames.values() if frame.data not in (None, Any)]
    _, schemas = msgspec.json.schema_components([*dict.fromkeys(structs), *envelopes.values()], ref_template=_TEMPLATE)
    messages = {
        f"{way}.{kind}": _message(kind, frame, envelopes[way].__name__)
        for way, frames in ways.items()
        for kind, frame in frames.items()
    }
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "sig.v1", "version": __version__, "description": __doc__},
        "defaultContentType": "application/json",
        "channels": {
            "session": {
                "address": "/v1/ws",
                "description": "The subprotocol is sig.v1. Over HTTP the same frames go through /v1/sessions.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
                "bindings": {"ws": {"method": "GET"}},
            }
        },
        "operations": {
            "fromClient": _operation("receive", [name for name in messages if name.startswith("client.")]),
            "fromServer": _operation("send", [name for name in messages if name.startswith("server.")]),
        },
        "components": {"messages": messages, "schemas": schemas},
    }


def _message(kind: str, frame: FrameDoc, envelope: str) -> dict[str, Any]:
    properties: dict[str, Any] = {"type": {"const": kind}}
    if frame.data is not None and frame.data is not Any:
        properties["data"] = {"$ref": _TEMPLATE.format(name=frame.data.__name__)}
    payload = {"allOf": [{"$ref": _TEMPLATE.format(name=envelope)}, {"type": "object", "properties": properties}]}
    return {"name": kind, "summary": frame.summary, "payload": payload}


def _operation(action: str, names: list[str]) -> dict[str, Any]:
    refs = [{"$ref": f"#/channels/session/messages/{name}"} for name in names]
    return {"action": action, "channel": {"$ref": "#/channels/session"}, "messages": refs}
