"""sig.v1 over a wire: no task and no queue for a client that reads what it is sent."""

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any

from fairlead.log import get_logger
from signal_api.clients import Visitor
from signal_api.node.dispatch import Dispatch
from signal_api.node.hub import Hub
from signal_api.protocol.messages import ServerFrame
from signal_api.protocol.refusals import CloseCode, Closing
from signal_api.protocol.sessions import Entry
from signal_api.transports.conversation import NO_BINARY, Conversation
from signal_api.transports.outbox import Outbox
from signal_api.transports.outgoing import last_words, note_close
from signal_api.transports.upgrade import TOO_MANY
from signal_api.transports.wire import Framing, Wire, text_frame

_log = get_logger("signal_api.websocket")


class Direct:
    """One client on a wire; satisfies signal_api.clients.Connection and signal_api.transports.wire.Listener.

    What can be handled at once is; for the rest there is a task while there is something to wait for, and what comes
    meanwhile waits behind it. Reading goes on until something does: a connection that is not read is not seen to end.
    """

    transport = "websocket"
    __slots__ = ("_closing", "_hub", "_is_lost", "_later", "_outbox", "_talk", "_task", "is_closing", "wire")

    def __init__(self, hub: Hub, dispatch: Dispatch, framing: Framing, visitor: Visitor) -> None:
        self._hub = hub
        self.wire = Wire(framing, self)
        #: whether no more is said than what is queued, and the close
        self.is_closing = False
        self._closing: Closing | None = None
        self._outbox: Outbox | None = None  # while the client does not read
        self._talk = Conversation(hub, dispatch, self, visitor)
        self._later: deque[bytes | None] | None = None  # while something is waited for
        self._task: asyncio.Task[None] | None = None
        self._is_lost = False

    # The way out

    @property
    def is_over(self) -> bool:
        return self.is_closing or self._is_lost

    def send(self, frame: ServerFrame, seq: int | None = None) -> None:
        if self.is_closing:
            return
        written = text_frame(frame.encode(seq))
        if self._outbox is None:
            self.wire.write(written)
        elif not self._outbox.put(written):
            self.close(CloseCode.SLOW_CONSUMER)

    def catch_up(self, greeting: ServerFrame | None, missed: Sequence[Entry]) -> None:
        if self.is_closing:
            return
        first = [] if greeting is None else [greeting.encode(None)]
        for frame in (*first, *(entry.encode() for entry in missed)):
            if self._outbox is None:
                self.wire.write(text_frame(frame))
            else:
                self._outbox.put_first((text_frame(frame),))

    def close(self, code: CloseCode, reason: str = "") -> None:
        if not self.is_closing:
            self.is_closing = True
            self._closing = Closing(code, last_words(code, reason))
            note_close(self._hub, code, self._give_up)
            if self._outbox is None:
                self.wire.close(*self._closing)
            else:
                self.wire.pause()  # Whoever does not read what it is sent need not be heard until it does.

    def hold(self) -> None:
        self.wire.hold()

    def _give_up(self) -> None:
        self.wire.abort()
        if self._task is not None:
            self._task.cancel()

    # What the wire brings

    def flooded(self) -> None:
        self.close(CloseCode.RATE_LIMITED, TOO_MANY)
        if self._outbox is not None:
            self.wire.abort()  # It does not read, so it would not hear why, and would go on.

    def filled(self) -> None:
        if self._outbox is None:
            limits = self._hub.policy.limits
            self._outbox = Outbox(limits.queue_frames, limits.queue_bytes)

    def drained(self) -> None:
        if self._outbox is None:
            return
        while not self.wire.is_full:
            frame = self._outbox.pop()
            if frame is None:
                self._outbox = None
                if self._closing is not None:
                    self.wire.close(*self._closing)
                    self.wire.resume()
                return
            self.wire.write_now(frame)

    def heard(self, message: bytes | None) -> None:
        if self._later is not None:
            self._later.append(message)
            self.wire.pause()
            return
        try:
            rest = self._talk.hear(NO_BINARY if message is None else message)
        except Exception:
            self._fail()
            return
        if rest is not None:
            self._later = deque()
            self._task = asyncio.get_running_loop().create_task(self._catch_breath(rest, self._later))

    def lost(self) -> None:
        self._is_lost = True
        self.wire.part()
        if self._later is None:
            self._end()

    def _end(self) -> None:
        self._talk.end()
        del self._talk  # They hold each other.

    async def _catch_breath(self, rest: Coroutine[Any, Any, None], later: deque[bytes | None]) -> None:
        try:
            await rest
            while later:
                message = later.popleft()
                following = self._talk.hear(NO_BINARY if message is None else message)
                if following is not None:
                    await following
        except Exception:
            self._fail()
        finally:
            self._later = self._task = None
            if self._is_lost:
                self._end()
            elif not self.is_closing or self._outbox is None:
                self.wire.resume()

    def _fail(self) -> None:
        _log.exception("a connection failed")
        self.close(CloseCode.INTERNAL_ERROR)
        self._talk.end()
