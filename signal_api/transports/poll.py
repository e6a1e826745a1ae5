"""sig.v1 by long polling: each request takes what the log holds, or waits for it a while."""

import asyncio
import enum
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from signal_api.clients import Client
from signal_api.node.hub import Hub
from signal_api.protocol.messages import ServerFrame
from signal_api.protocol.refusals import CloseCode
from signal_api.protocol.sessions import Entry, Position, ResumeFailure
from signal_api.transports.closing import close_frame
from signal_api.transports.outgoing import until_gone
from signal_api.web.asgi import Receive

#: frames without a number that wait for the next poll; the oldest give way
_PASSING = 64


class Wait(NamedTuple):
    """What a poll asks for: events behind a position, at most so many, within so many seconds."""

    after: Position
    seconds: float
    most: int


class Events(msgspec.Struct, frozen=True):
    """What a poll is answered, for those who read it; `superseded` when a newer poll ended this one."""

    events: list[dict[str, Any]]
    next: str
    more: bool
    superseded: bool = False


class Batch(NamedTuple):
    """What a poll is answered; `next` is where the next one goes on."""

    events: list[bytes]
    next: Position
    more: bool = False
    superseded: bool = False

    def encode(self) -> bytes:
        superseded = b',"superseded":true' if self.superseded else b""
        return b'{"events":[%b],"next":"%b.%d","more":%b%b}' % (
            b",".join(self.events),
            (self.next.epoch or "").encode(),
            self.next.seq,
            b"true" if self.more else b"false",
            superseded,
        )


class _Wake(enum.Enum):
    """Why a poll waits no longer."""

    NEWS = enum.auto()
    LAPSED = enum.auto()
    SUPERSEDED = enum.auto()
    GONE = enum.auto()


class Mailbox:
    """What stands between the polls of a session; satisfies signal_api.clients.Connection.

    Numbered frames stay in the session's log, and a poll reads them there: nothing is queued twice. The mailbox is
    the session's connection between polls as well; a ping that no poll follows in time ends it like any other.
    """

    transport = "poll"

    def __init__(self, hub: Hub) -> None:
        self.client: Client | None = None
        self._hub = hub
        self._passing: deque[ServerFrame] = deque(maxlen=_PASSING)
        self._waiting: asyncio.Future[_Wake] | None = None
        self._closed: tuple[CloseCode, str] | None = None

    @property
    def is_polled(self) -> bool:
        """Whether a poll waits just now."""
        return self._waiting is not None

    @property
    def is_over(self) -> bool:
        return self._closed is not None

    def send(self, frame: ServerFrame, seq: int | None = None) -> None:
        if self._closed is None:
            if seq is None:
                self._passing.append(frame)
            self._wake(_Wake.NEWS)

    def catch_up(self, greeting: ServerFrame | None, missed: Sequence[Entry]) -> None:
        if greeting is not None:
            self._passing.appendleft(greeting)
        self._wake(_Wake.NEWS)

    def close(self, code: CloseCode, reason: str = "") -> None:
        if self._closed is not None:
            return
        self._closed = code, reason or code.name.lower()
        if self._waiting is not None or code is not CloseCode.REPLACED:  # Between polls nobody is replaced.
            self._hub.instruments.closes[str(code.value),] += 1
        if self._waiting is None:
            self._detach()
        self._wake(_Wake.NEWS)

    def welcome(self) -> ServerFrame:
        """The frame that the mailbox began with, which is taken out unless it is in the log."""
        assert self.client is not None  # It has come in.
        if self._passing:
            return self._passing.popleft()
        log = self.client.session.since(Position(self.client.session.epoch, 0))
        assert not isinstance(log, ResumeFailure)  # It has just begun.
        return log[0].frame

    async def poll(self, wait: Wait, receive: Receive) -> Batch | None:
        """Takes what there is, or waits for it; an older poll that still waits ends at once. None for a client that
        has gone meanwhile."""
        self._wake(_Wake.SUPERSEDED)
        batch = self._collect(wait)
        if not batch.events and wait.seconds > 0 and self._closed is None:
            wake = await self._wait(wait.seconds, receive)
            if wake is _Wake.GONE:
                return None
            if wake is _Wake.SUPERSEDED:
                return Batch([], wait.after, superseded=True)
            batch = self._collect(wait)
        return batch

    async def _wait(self, seconds: float, receive: Receive) -> _Wake:
        waiting: asyncio.Future[_Wake] = asyncio.get_running_loop().create_future()
        self._waiting = waiting
        timer = self._hub.timers.after(seconds, partial(_settle, waiting, _Wake.LAPSED))
        gone = asyncio.create_task(until_gone(receive))
        gone.add_done_callback(lambda _: _settle(waiting, _Wake.GONE))
        try:
            return await waiting
        finally:
            timer.cancel()
            gone.cancel()
            if self._waiting is waiting:
                self._waiting = None
            if self._closed is not None:
                self._detach()

    def _collect(self, wait: Wait) -> Batch:
        assert self.client is not None  # Only a session that has come in is polled.
        events = [frame.encode(None) for frame in self._passing]
        self._passing.clear()
        missed = self.client.session.since(wait.after)
        is_replaced = self._closed is not None and self._closed[0] is CloseCode.REPLACED
        if isinstance(missed, ResumeFailure) or is_replaced:
            missed = []  # Another connection goes on, or the next poll is told to begin anew.
        taken = missed[: wait.most]
        events += [entry.encode() for entry in taken]
        if self._closed is not None:
            events.append(close_frame(*self._closed).encode(None))
        last = taken[-1].seq if taken else wait.after.seq
        return Batch(events, Position(wait.after.epoch, last), len(missed) > len(taken))

    def _wake(self, why: _Wake) -> None:
        if self._waiting is not None:
            _settle(self._waiting, why)

    def _detach(self) -> None:
        if self.client is not None:
            self._hub.detach(self.client, self)


def _settle(waiting: asyncio.Future[_Wake], why: _Wake) -> None:
    if not waiting.done():
        waiting.set_result(why)
