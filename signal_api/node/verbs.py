"""What each type of frame does, and for whom it may be done."""

import enum
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from signal_api.clients import Client
from signal_api.engine.contract import Engine, Once
from signal_api.metrics import LABELS
from signal_api.node.admission import bytes_of, meta_refusal
from signal_api.node.commits import Commits
from signal_api.node.frames import Join, Kick, Leave, MetaSet, Token, Unban
from signal_api.node.hub import Hub
from signal_api.node.lobby import Lobby
from signal_api.node.steward import Steward
from signal_api.passwords import Passwords
from signal_api.protocol.authorization import Ability
from signal_api.protocol.effects import Deliver, Receipt
from signal_api.protocol.messages import NEGOTIATION, PONG, ClientFrame, relayed_frame, server_frame
from signal_api.protocol.moderation import Who, change_member, may
from signal_api.protocol.refusals import ErrorCode, Refusal
from signal_api.protocol.rooms import Room, recipients
from signal_api.relay.reports import Report

T = TypeVar("T")
R = TypeVar("R", Kick, Unban)


class Reply(enum.Enum):
    """How a frame that took effect is answered."""

    OK = "ok"  # by an ok frame, when the frame had an id
    GIVEN = "given"  # by a frame that has been sent already
    NONE = "none"


Outcome = Refusal | Reply
#: An enum is slow to name its members, and this one is named for each frame.
_DONE = Reply.OK
_join = msgspec.json.Decoder(Join | None)
_leave = msgspec.json.Decoder(Leave | None)
_meta_set = msgspec.json.Decoder(MetaSet)
_kick = msgspec.json.Decoder(Kick)
_unban = msgspec.json.Decoder(Unban)
_token = msgspec.json.Decoder(Token)
_report = msgspec.json.Decoder(Report)
_WHICH_ROOM = Refusal(ErrorCode.BAD_REQUEST, "say in room which room")
_NOT_IN = Refusal(ErrorCode.ROOM_NOT_FOUND, "this session is not in that room; join it, and name it in room")


class Verbs:
    """The frames of clients, a method each. Raises EngineUnavailableError where the store does not answer."""

    def __init__(self, hub: Hub, engine: Engine) -> None:
        self._hub = hub
        self._engine = engine
        self._commits = Commits(hub, engine)
        passwords = Passwords(hub.clock, hub.entropy, lambda: hub.policy.limits.members_per_room)
        self.lobby = Lobby(hub, engine, self._commits, passwords)
        self.steward = Steward(hub, self._commits, passwords)

    async def handle(self, client: Client, frame: ClientFrame) -> Outcome:
        """Does what a frame asks for."""
        outcome = self.handle_now(client, frame)
        return await HANDLERS.get(frame.type, Verbs._relay)(self, client, frame) if outcome is None else outcome

    def handle_now(self, client: Client, frame: ClientFrame) -> Outcome | None:
        """As handle, for what needs no waiting; None, with nothing done, for what does."""
        handler = AT_ONCE.get(frame.type)
        if handler is not None:
            return handler(self, client, frame)
        if frame.type in HANDLERS:
            return None
        if frame.type.startswith("x."):
            return self._relay_now(client, frame)
        return Refusal(ErrorCode.UNSUPPORTED, f"{frame.type} is not known; types of your own begin with x.")

    def _relay_now(self, client: Client, frame: ClientFrame) -> Outcome | None:
        """As _relay, where the engine has all rooms at hand."""
        at_hand = self._engine.at_hand
        if at_hand is None:
            return None
        sent = self._address(client, frame, at_hand.room(frame.room or ""))
        if isinstance(sent, Refusal):
            return sent
        at_hand.deliver(sent)
        return self._relayed(client, frame, sent)

    async def _relay(self, client: Client, frame: ClientFrame) -> Outcome:
        """To other members of a room, from the member that this session is."""
        if frame.room is None or frame.room not in client.session.rooms:
            return _NOT_IN
        sent = self._address(client, frame, (await self._engine.load(frame.room)).room)
        if isinstance(sent, Refusal):
            return sent
        await self._engine.publish((sent,), Once(client.sid, frame.id) if frame.id is not None else None)
        return self._relayed(client, frame, sent)

    def _relayed(self, client: Client, frame: ClientFrame, sent: Deliver) -> Outcome:
        instruments = self._hub.instruments
        instruments.relayed[LABELS[frame.type]] += len(sent.to)
        instruments.relay_seconds.observe(self._hub.clock.monotonic() - client.last_heard)
        return _DONE

    def _address(self, client: Client, frame: ClientFrame, room: Room | None) -> Deliver | Refusal:
        """A frame as it goes out, to whom it may go."""
        membership = client.session.rooms.get(frame.room) if frame.room is not None else None
        if membership is None:
            return _NOT_IN
        sender = room.members.get(membership.member) if room is not None else None
        if room is None or sender is None:
            return Refusal(ErrorCode.ROOM_NOT_FOUND, "this session is not in that room any more")
        refusal = _may_send(client, frame, room)
        if refusal is not None or frame.to is None:
            return refusal or Refusal(ErrorCode.BAD_REQUEST, "say in to whom this is for")
        to = recipients(room, sender, frame.to)
        if isinstance(to, Refusal):
            return to
        fences = self._hub.fences
        if fences.is_on and frame.type in NEGOTIATION:
            fences.overhear(room.name, frame.data)
        ts = round(self._hub.clock.now().wall * 1000)
        sent = relayed_frame(frame.type, frame.data, room.name, sender.id, ts)
        return Deliver(to, sent, _receipts(client, frame, room, to) if frame.id is not None and frame.to != "*" else ())

    async def _join(self, client: Client, frame: ClientFrame) -> Outcome:
        body = _body(_join, frame) or Join()
        if isinstance(body, Refusal):
            return body
        room = frame.room or body.room
        if room is None:
            return _WHICH_ROOM
        return await self.lobby.join(client, room, body, frame.id) or Reply.GIVEN

    async def _leave(self, client: Client, frame: ClientFrame) -> Outcome:
        body = _body(_leave, frame) or Leave()
        if isinstance(body, Refusal):
            return body
        room = frame.room or body.room
        return _WHICH_ROOM if room is None else await self.lobby.leave(client, room) or Reply.OK

    async def _set_meta(self, client: Client, frame: ClientFrame) -> Outcome:
        """What is attached to the member, by itself, and to the room, by who moderates it."""
        body = _body(_meta_set, frame)
        if isinstance(body, Refusal):
            return body
        membership = client.session.rooms.get(frame.room or body.room or "")
        if membership is None:
            return _NOT_IN
        given = [meta for meta in (body.meta, body.room_meta) if not isinstance(meta, msgspec.UnsetType)]
        refusal = next(filter(None, map(meta_refusal, given)), None)
        if refusal is not None or not given:
            return refusal or Refusal(ErrorCode.BAD_REQUEST, "give meta, or room_meta, or both")
        if not isinstance(body.room_meta, msgspec.UnsetType):
            described = await self.steward.describe(membership.room, bytes_of(body.room_meta), client)
            if isinstance(described, Refusal):
                return described
        if not isinstance(body.meta, msgspec.UnsetType):
            meta = bytes_of(body.meta)
            changed = await self._commits.change(
                membership.room, lambda stored: change_member(stored, client.sid, meta=meta)
            )
            if isinstance(changed, Refusal):
                return changed
            membership.meta = meta
        return Reply.OK

    async def _kick(self, client: Client, frame: ClientFrame) -> Outcome:
        wish = _about_a_room(_kick, client, frame)
        if isinstance(wish, Refusal):
            return wish
        room, body = wish
        if (body.member is None) == (body.user is None):
            return Refusal(ErrorCode.BAD_REQUEST, "name a member or a user")
        change = await self.steward.kick(room, Who(body.member, body.user), body.seconds, client)
        return change if isinstance(change, Refusal) else Reply.OK

    async def _unban(self, client: Client, frame: ClientFrame) -> Outcome:
        wish = _about_a_room(_unban, client, frame)
        if isinstance(wish, Refusal):
            return wish
        room, body = wish
        change = await self.steward.lift(room, body.user, client)
        return change if isinstance(change, Refusal) else Reply.OK

    async def _token(self, client: Client, frame: ClientFrame) -> Outcome:
        """A fresh token, before the old one ends."""
        body = _body(_token, frame)
        if isinstance(body, Refusal):
            return body
        await self._hub.look_for_key(body.token)
        room = frame.room or body.room
        if room is not None:
            return await self.lobby.renew(client, room, body.token) or Reply.OK
        grants = self._hub.admit(body.token, client.visitor)
        if isinstance(grants, Refusal):
            return grants
        if grants.user != client.grants.user:
            return Refusal(ErrorCode.UNAUTHORIZED, "the token is another user's")
        self._hub.reauthorize(client, grants)
        await self.lobby.review(client)
        return Reply.OK

    async def _report(self, client: Client, frame: ClientFrame) -> Outcome:
        """How one peer connection went; kept beside what turnd saw of the membership."""
        body = _body(_report, frame)
        if isinstance(body, Refusal):
            return body
        membership = client.session.rooms.get(frame.room or "")
        if membership is None:
            return _NOT_IN
        once = Once(client.sid, frame.id) if frame.id is not None else None
        told = self._hub.chronicle.of_report(membership.room, membership.member, body)
        if await self._engine.report(membership.turn_user, body, once, told):
            self._hub.instruments.reports[body.outcome.value, body.path.value] += 1
        return Reply.OK

    def _ping(self, client: Client, frame: ClientFrame) -> Outcome:
        client.answer(PONG if frame.id is None else server_frame("pong", re=frame.id))
        return Reply.NONE

    def _pong(self, client: Client, frame: ClientFrame) -> Outcome:
        return Reply.NONE

    def _hello(self, client: Client, frame: ClientFrame) -> Outcome:
        return Refusal(ErrorCode.BAD_REQUEST, "hello is only the first frame of a connection")


#: what may have to wait for the engine, or for a key or a password
HANDLERS: dict[str, Callable[[Verbs, Client, ClientFrame], Awaitable[Outcome]]] = {
    **dict.fromkeys((*NEGOTIATION, "message"), Verbs._relay),
    "join": Verbs._join,
    "leave": Verbs._leave,
    "meta.set": Verbs._set_meta,
    "kick": Verbs._kick,
    "unban": Verbs._unban,
    "token": Verbs._token,
    "report": Verbs._report,
}
#: what never waits, or does not always
AT_ONCE: dict[str, Callable[[Verbs, Client, ClientFrame], Outcome | None]] = {
    **dict.fromkeys((*NEGOTIATION, "message"), Verbs._relay_now),
    "ping": Verbs._ping,
    "pong": Verbs._pong,
    "hello": Verbs._hello,
}


def _may_send(client: Client, frame: ClientFrame, room: Room) -> Refusal | None:
    """Whether the token, and its role in the room, let this frame go to those that it names."""
    to = frame.to
    if frame.type in NEGOTIATION:
        if isinstance(to, list) or (isinstance(to, str) and to != "*"):
            return None
        return Refusal(ErrorCode.BAD_REQUEST, f"{frame.type} goes to members; name them in to")
    needed = Ability.PUBLISH if to == "*" else Ability.PRIVATE
    if may(room, client.grants_in(room.name), needed):
        return None
    wrong = f"neither your token nor your role in this room lets you {needed} here"
    return Refusal(ErrorCode.FORBIDDEN, wrong, details={"needs": needed})


def _receipts(client: Client, frame: ClientFrame, room: Room, to: tuple[str, ...]) -> tuple[Receipt, ...]:
    """Who sent a frame by an id hears which of those that it named it did not reach."""
    assert frame.id is not None  # Without an id there is nothing to name.
    members = {member.sid: member.id for member in room.members.values()}
    return tuple(Receipt(client.sid, frame.id, room.name, members[sid]) for sid in to)


def _body(decoder: msgspec.json.Decoder[T], frame: ClientFrame) -> T | Refusal:
    try:
        return decoder.decode(frame.data)
    except msgspec.DecodeError as error:
        return Refusal(ErrorCode.BAD_REQUEST, f"the data of {frame.type} is not understood: {error}")


def _about_a_room(decoder: msgspec.json.Decoder[R], client: Client, frame: ClientFrame) -> tuple[str, R] | Refusal:
    """The room that a frame names, in which its client has to be, and its data."""
    body = _body(decoder, frame)
    if isinstance(body, Refusal):
        return body
    room = frame.room or body.room
    return (room, body) if room is not None and room in client.session.rooms else _NOT_IN
