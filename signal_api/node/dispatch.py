"""From the bytes of a client's frame to the reply: checks, limits, and what is done once."""

import dataclasses
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias

import msgspec

from signal_api.clients import Client
from signal_api.engine.contract import Engine
from signal_api.metrics import LABELS
from signal_api.node.custody import Custody
from signal_api.node.delivery import Delivery
from signal_api.node.frames import Hello, Join
from signal_api.node.hub import Hub
from signal_api.node.relaying import Relaying
from signal_api.node.verbs import Outcome, Reply, Verbs
from signal_api.protocol.effects import LeaveReason
from signal_api.protocol.messages import (
    ClientFrame,
    InvalidFrameError,
    MalformedFrameError,
    ServerFrame,
    decode,
    error_frame,
    id_of,
    server_frame,
)
from signal_api.protocol.refusals import CloseCode, Closing, EngineUnavailableError, ErrorCode, Refusal

#: where the replies to frames go
Answer = Callable[[ServerFrame], None]
#: what is left to do for a frame
Rest: TypeAlias = Coroutine[Any, Any, Closing | None]
_MOVED = Closing(CloseCode.REBALANCE, "the session has moved to another node; send it again")
_hello = msgspec.json.Decoder(Hello)


class Dispatch:
    """Handles the frames of one session one after the other."""

    def __init__(self, hub: Hub, engine: Engine) -> None:
        self._hub = hub
        if engine.vault is not None:
            hub.custody = Custody(hub, engine.vault)
        hub.budgets.spend = engine.spend
        hub.desk.may_relay = Relaying(hub, engine).allows
        self.verbs = Verbs(hub, engine)
        self._lobby = self.verbs.lobby
        if hub.custody is not None:
            hub.custody.part = self._lobby.part
        self._delivery = Delivery(hub, engine)
        hub.farewell = self._farewell
        hub.review = self._lobby.review_in_turn

    async def _farewell(self, client: Client, reason: LeaveReason) -> None:
        """A client is away too long, or gone for good; then those hear of it whose frames went with it."""
        if self._hub.roster.get(client.sid) is not client:
            await self._delivery.give_up(client, reason)
        await self._lobby.farewell(client, reason)

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
        """What follows the welcome: the rooms that were left open, and those that hello names. What is refused of
        those is kept until it is read: over HTTP nobody may be there yet."""
        answer = client.deliver if rooms else client.answer
        async with client.turn:
            try:
                await self._lobby.restore(client)
                for room in rooms:
                    if room not in client.session.rooms:
                        refusal = await self._lobby.join(client, room, Join(), None)
                        if refusal is not None:
                            about = {**(refusal.details or {}), "room": room}
                            self._refuse(answer, dataclasses.replace(refusal, details=about), None)
            except EngineUnavailableError as error:
                self._refuse(answer, _unavailable(error), None)
        client.changed()

    async def receive(self, client: Client, frame: bytes, answer: Answer | None = None) -> Closing | None:
        """Handles one frame and answers it, on the client's connection unless it is said where; a Closing when the
        connection must not go on."""
        answer = answer or client.answer
        async with client.turn:
            if client.is_elsewhere:
                return _MOVED
            done = self._try(client, frame, answer)
            if isinstance(done, ClientFrame):
                await self._complete(client, done, answer)
                done = None
        client.changed()
        return done

    def receive_now(self, client: Client, frame: bytes) -> Closing | Rest | None:
        """As receive, as far as nothing has to be waited for; the rest is for the caller to await, before the next
        frame of the client."""
        if client.turn.locked():
            return self.receive(client, frame)
        if client.is_elsewhere:
            return _MOVED
        done = self._try(client, frame, client.answer)
        if done is not None and not isinstance(done, Closing):
            return self._finish(client, done)
        client.changed()
        return done

    async def _finish(self, client: Client, frame: ClientFrame) -> Closing | None:
        if frame.type == "join":  # Who talks already goes first.
            await self._hub.turnstile.wait(client.visitor.source)
        async with client.turn:
            if client.is_elsewhere:
                return _MOVED
            await self._complete(client, frame, client.answer)
        client.changed()
        return None

    def _try(self, client: Client, frame: bytes, answer: Answer) -> Closing | ClientFrame | None:
        """Reads a frame, counts it, and handles it when nothing has to be waited for; otherwise returns it. For whoever
        holds the client's turn. One step for all that every frame passes: each function more would cost it 1 %."""
        hub = self._hub
        now = client.last_heard = hub.clock.monotonic()
        wait = client.bucket.take(hub.policy.frame_rate, now)
        if wait:
            return self._too_fast(client, frame, wait, answer)
        client.refused_in_a_row = 0
        try:
            taken = decode(frame, hub.policy.frame_bytes)
        except MalformedFrameError as error:
            return Closing(error.close, str(error))
        except InvalidFrameError as error:
            self._refuse(answer, Refusal(ErrorCode.BAD_FRAME, str(error)), id_of(frame))
            return None
        hub.instruments.frames[LABELS[taken.type]] += 1
        hub.instruments.frame_bytes.observe(len(frame))
        if taken.ack is not None:
            client.session.acknowledge(taken.ack)
        if taken.id is None or not self._answer_again(client, taken.id, answer):
            outcome = self.verbs.handle_now(client, taken)
            if outcome is None:
                return taken
            self._conclude(client, taken.id, outcome, answer)
        return None

    async def _complete(self, client: Client, frame: ClientFrame, answer: Answer) -> None:
        """Handles a frame that was taken, unless it took effect meanwhile. For whoever holds the client's turn."""
        if frame.id is None or not self._answer_again(client, frame.id, answer):
            self._conclude(client, frame.id, await self._handle(client, frame), answer)

    def _too_fast(self, client: Client, frame: bytes, wait: float, answer: Answer) -> Closing | None:
        self._hub.instruments.rate_limited["frames",] += 1
        client.refused_in_a_row += 1
        if client.refused_in_a_row > self._hub.policy.limits.frame_burst:
            return Closing(CloseCode.RATE_LIMITED, "too many frames, and they did not slow down")
        refusal = Refusal(ErrorCode.RATE_LIMITED, "too many frames; this one was dropped", wait)
        self._refuse(answer, refusal, id_of(frame))
        return None

    def _answer_again(self, client: Client, frame_id: str, answer: Answer) -> bool:
        """A frame that took effect and comes again is answered as before, and has no effect."""
        known = client.session.remembered(frame_id, client.last_heard)
        if known is not None:
            answer(known)
        return known is not None

    def _conclude(self, client: Client, frame_id: str | None, outcome: Outcome, answer: Answer) -> None:
        """Answers a frame, and remembers the answer where it took effect."""
        if isinstance(outcome, Refusal):
            reply = self._refuse(answer, outcome, frame_id)
            if frame_id is None or outcome.code.retryable:
                return
        elif frame_id is None or outcome is Reply.NONE:
            return
        else:
            reply = server_frame("ok", re=frame_id)
            if outcome is Reply.OK:
                answer(reply)
        client.session.remember(frame_id, reply, client.last_heard)

    async def _handle(self, client: Client, frame: ClientFrame) -> Outcome:
        try:
            return await self.verbs.handle(client, frame)
        except EngineUnavailableError as error:
            return _unavailable(error)

    def _refuse(self, answer: Answer, refusal: Refusal, re: str | None) -> ServerFrame:
        self._hub.instruments.errors[refusal.code.value,] += 1
        reply = error_frame(refusal, re)
        answer(reply)
        return reply


def _unavailable(error: EngineUnavailableError) -> Refusal:
    return Refusal(ErrorCode.ENGINE_UNAVAILABLE, f"rooms cannot be changed just now: {error}", retry_after=1.0)
