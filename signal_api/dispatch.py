"""From a client's frame to what it does: checks, the table of frame types, and the reply."""

import enum
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import msgspec

from signal_api.authorization import Ability
from signal_api.clients import Client
from signal_api.delivery import Delivery
from signal_api.effects import Deliver
from signal_api.engine.contract import Engine
from signal_api.frames import Hello, Join, Leave, Token
from signal_api.hub import Hub
from signal_api.lobby import Lobby
from signal_api.messages import (
    NEGOTIATION,
    PONG,
    ClientFrame,
    InvalidFrameError,
    MalformedFrameError,
    ServerFrame,
    decode,
    error_frame,
    server_frame,
)
from signal_api.metrics import frame_type
from signal_api.refusals import CloseCode, Closing, EngineUnavailableError, ErrorCode, Refusal
from signal_api.rooms import recipients

T = TypeVar("T")


class Reply(enum.Enum):
    """How a frame that took effect is answered."""

    OK = "ok"  # by an ok frame, when the frame had an id
    GIVEN = "given"  # by a frame that has been sent already
    NONE = "none"


_Outcome = Refusal | Reply
#: where the replies to frames go
Answer = Callable[[ServerFrame], None]
_hello = msgspec.json.Decoder(Hello)
_join = msgspec.json.Decoder(Join | None)
_leave = msgspec.json.Decoder(Leave | None)
_token = msgspec.json.Decoder(Token)


class Dispatch:
    """Handles the frames of one session one after the other."""

    def __init__(self, hub: Hub, engine: Engine) -> None:
        self._hub = hub
        self._engine = engine
        self._lobby = Lobby(hub, engine)
        hub.farewell = self._lobby.farewell
        self._delivery = Delivery(hub, engine)

    def greet(self, frame: bytes) -> Hello | Closing:
        """Reads the first frame of a connection."""
        try:
            first = decode(frame, self._hub.policy.limits.frame_bytes)
            if first.type != "hello":
                return Closing(CloseCode.BAD_REQUEST, "the first frame has to be hello")
            self._hub.instruments.frames["hello",] += 1
            return _hello.decode(first.data)
        except MalformedFrameError as error:
            return Closing(error.close, str(error))
        except (InvalidFrameError, msgspec.DecodeError) as error:
            return Closing(CloseCode.BAD_REQUEST, f"hello is not understood: {error}")

    def read_hello(self, body: bytes) -> Hello | Closing:
        """Reads the hello that is the whole body of a request."""
        self._hub.instruments.frames["hello",] += 1
        try:
            return _hello.decode(body)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            return Closing(CloseCode.BAD_REQUEST, f"hello is not understood: {error}")

    async def begin(self, client: Client, rooms: Sequence[str] = ()) -> None:
        """What follows the welcome: the rooms that were left open, and those that hello names."""
        async with client.turn:
            try:
                await self._lobby.restore(client)
                for room in rooms:
                    if room not in client.session.rooms:
                        refusal = await self._lobby.join(client, room, msgspec.Raw(b"null"), None)
                        if refusal is not None:
                            self._refuse(client.answer, refusal, None)
            except EngineUnavailableError as error:
                self._refuse(client.answer, _unavailable(error), None)

    async def receive(self, client: Client, frame: bytes, answer: Answer | None = None) -> Closing | None:
        """Handles one frame and answers it, on the client's connection unless it is said where; a Closing when the
        connection must not go on."""
        async with client.turn:
            return await self._receive(client, frame, answer or client.answer)

    async def _receive(self, client: Client, frame: bytes, answer: Answer) -> Closing | None:
        hub = self._hub
        now = hub.clock.now().monotonic
        client.last_heard = now
        wait = client.bucket.take(hub.policy.frame_rate, now)
        if wait:
            return self._too_fast(client, wait, answer)
        client.refused_in_a_row = 0
        try:
            decoded = decode(frame, hub.policy.limits.frame_bytes)
        except MalformedFrameError as error:
            return Closing(error.close, str(error))
        except InvalidFrameError as error:
            self._refuse(answer, Refusal(ErrorCode.BAD_FRAME, str(error)), None)
            return None
        hub.instruments.frames[frame_type(decoded.type),] += 1
        hub.instruments.frame_bytes.observe(len(frame))
        if decoded.ack is not None:
            client.session.acknowledge(decoded.ack)
        await self._handle_once(client, decoded, now, answer)
        return None

    def _too_fast(self, client: Client, wait: float, answer: Answer) -> Closing | None:
        self._hub.instruments.rate_limited["frames",] += 1
        client.refused_in_a_row += 1
        if client.refused_in_a_row > self._hub.policy.limits.frame_burst:
            return Closing(CloseCode.RATE_LIMITED, "too many frames, and they did not slow down")
        self._refuse(answer, Refusal(ErrorCode.RATE_LIMITED, "too many frames; this one was dropped", wait), None)
        return None

    async def _handle_once(self, client: Client, frame: ClientFrame, now: float, answer: Answer) -> None:
        """A frame that took effect and comes again is answered as before, and has no effect."""
        if frame.id is not None:
            known = client.session.remembered(frame.id, now)
            if known is not None:
                answer(known)
                return
        outcome = await self._handle(client, frame)
        if isinstance(outcome, Refusal):
            reply = self._refuse(answer, outcome, frame.id)
            if outcome.code.retryable:
                return
        else:
            reply = server_frame("ok", re=frame.id)
            if outcome is Reply.OK and frame.id is not None:
                answer(reply)
        if frame.id is not None and outcome is not Reply.NONE:
            client.session.remember(frame.id, reply, now)

    async def _handle(self, client: Client, frame: ClientFrame) -> _Outcome:
        handler = _HANDLERS.get(frame.type)
        if handler is None:
            if not frame.type.startswith("x."):
                return Refusal(ErrorCode.UNSUPPORTED, f"{frame.type} is not known; types of your own begin with x.")
            handler = Dispatch._relay
        try:
            return await handler(self, client, frame)
        except EngineUnavailableError as error:
            return _unavailable(error)

    def _refuse(self, answer: Answer, refusal: Refusal, re: str | None) -> ServerFrame:
        self._hub.instruments.errors[refusal.code.value,] += 1
        reply = error_frame(refusal, re)
        answer(reply)
        return reply

    # The frames

    async def _relay(self, client: Client, frame: ClientFrame) -> _Outcome:
        """To other members of a room, from the member that this session is."""
        membership = client.session.rooms.get(frame.room) if frame.room is not None else None
        if frame.room is None or membership is None:
            return Refusal(ErrorCode.ROOM_NOT_FOUND, "this session is not in that room; join it, and name it in room")
        refusal = _may_send(client, frame)
        if refusal is not None or frame.to is None:
            return refusal or Refusal(ErrorCode.BAD_REQUEST, "say in to whom this is for")
        room = (await self._engine.load(frame.room)).room
        sender = room.members.get(membership.member) if room is not None else None
        if room is None or sender is None:
            return Refusal(ErrorCode.ROOM_NOT_FOUND, "this session is not in that room any more")
        to = recipients(room, sender, frame.to)
        if isinstance(to, Refusal):
            return to
        moment = self._hub.clock.now()
        ts = round(moment.wall * 1000)
        sent = server_frame(frame.type, bytes(frame.data), room=room.name, sender=sender.id, ts=ts)
        await self._engine.publish((Deliver(to, sent),))
        instruments = self._hub.instruments
        instruments.relayed[frame_type(frame.type),] += len(to)
        instruments.relay_seconds.observe(self._hub.clock.now().monotonic - client.last_heard)
        return Reply.OK

    async def _join(self, client: Client, frame: ClientFrame) -> _Outcome:
        body = _body(_join, frame) or Join()
        if isinstance(body, Refusal):
            return body
        room = frame.room or body.room
        if room is None:
            return Refusal(ErrorCode.BAD_REQUEST, "say in room which room")
        for part in ("password", "token", "create"):
            if getattr(body, part) is not msgspec.UNSET:
                return Refusal(ErrorCode.UNSUPPORTED, f"rooms have no {part} here; leave it out")
        return await self._lobby.join(client, room, body.meta, frame.id) or Reply.GIVEN

    async def _leave(self, client: Client, frame: ClientFrame) -> _Outcome:
        body = _body(_leave, frame) or Leave()
        if isinstance(body, Refusal):
            return body
        room = frame.room or body.room
        if room is None:
            return Refusal(ErrorCode.BAD_REQUEST, "say in room which room")
        return await self._lobby.leave(client, room) or Reply.OK

    async def _token(self, client: Client, frame: ClientFrame) -> _Outcome:
        """A fresh token, before the old one ends."""
        body = _body(_token, frame)
        if isinstance(body, Refusal):
            return body
        grants = self._hub.admit(body.token, client.visitor)
        if isinstance(grants, Refusal):
            return grants
        if grants.user != client.grants.user:
            return Refusal(ErrorCode.UNAUTHORIZED, "the token is another user's")
        self._hub.reauthorize(client, grants)
        return Reply.OK

    async def _ping(self, client: Client, frame: ClientFrame) -> _Outcome:
        client.answer(PONG if frame.id is None else server_frame("pong", re=frame.id))
        return Reply.NONE

    async def _pong(self, client: Client, frame: ClientFrame) -> _Outcome:
        return Reply.NONE

    async def _hello(self, client: Client, frame: ClientFrame) -> _Outcome:
        return Refusal(ErrorCode.BAD_REQUEST, "hello is only the first frame of a connection")


_HANDLERS: dict[str, Callable[[Dispatch, Client, ClientFrame], Awaitable[_Outcome]]] = {
    **dict.fromkeys(NEGOTIATION, Dispatch._relay),
    "message": Dispatch._relay,
    "join": Dispatch._join,
    "leave": Dispatch._leave,
    "token": Dispatch._token,
    "ping": Dispatch._ping,
    "pong": Dispatch._pong,
    "hello": Dispatch._hello,
}


def _may_send(client: Client, frame: ClientFrame) -> Refusal | None:
    """Whether the token lets this frame go to those that it names."""
    if frame.type in NEGOTIATION:
        if frame.to is None or frame.to == "*" or not isinstance(frame.to, str | list):
            return Refusal(ErrorCode.BAD_REQUEST, f"{frame.type} goes to members; name them in to")
        return None
    needed = Ability.PUBLISH if frame.to == "*" else Ability.PRIVATE
    if client.grants.allow(needed, frame.room):
        return None
    return Refusal(ErrorCode.FORBIDDEN, f"the token does not grant {needed} in that room")


def _body(decoder: msgspec.json.Decoder[T], frame: ClientFrame) -> T | Refusal:
    try:
        return decoder.decode(frame.data)
    except msgspec.DecodeError as error:
        return Refusal(ErrorCode.BAD_REQUEST, f"the data of {frame.type} is not understood: {error}")


def _unavailable(error: EngineUnavailableError) -> Refusal:
    return Refusal(ErrorCode.ENGINE_UNAVAILABLE, f"rooms cannot be changed just now: {error}", retry_after=1.0)
