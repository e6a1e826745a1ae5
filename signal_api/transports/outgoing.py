"""The way out of a connection that one task writes: a bounded queue, and patience with who does not read it."""

import abc
from collections.abc import Callable, Sequence

from signal_api.node.hub import Hub
from signal_api.protocol.messages import ServerFrame
from signal_api.protocol.refusals import CloseCode
from signal_api.protocol.sessions import Entry
from signal_api.transports.outbox import Outbox
from signal_api.web.asgi import Receive

#: seconds that a client has to read what is left and to take the close
_CLOSE_TIMEOUT = 10.0


class Outgoing(abc.ABC):
    """Queues frames for `_write`, the task of the transport that takes them; satisfies signal_api.clients.Connection
    once a transport has said how a frame looks on its wire and what giving up means."""

    transport: str

    def __init__(self, hub: Hub) -> None:
        limits = hub.policy.limits
        self._hub = hub
        self._outbox = Outbox(limits.queue_frames, limits.queue_bytes)
        self._reason = ""

    @property
    def is_closing(self) -> bool:
        return self._outbox.closing is not None

    @property
    def is_over(self) -> bool:
        return self.is_closing

    def send(self, frame: ServerFrame, seq: int | None = None) -> None:
        self._put(self._encode(frame, seq))

    def catch_up(self, greeting: ServerFrame | None, missed: Sequence[Entry]) -> None:
        first = [] if greeting is None else [self._encode(greeting, None)]
        self._outbox.put_first([*first, *(self._encode(entry.frame, entry.seq) for entry in missed)])

    def close(self, code: CloseCode, reason: str = "") -> None:
        if self._outbox.close(code):
            self._reason = reason
            self._closes(code)

    def _put(self, written: bytes) -> None:
        if not self._outbox.put(written):
            self._closes(CloseCode.SLOW_CONSUMER)

    def _closes(self, code: CloseCode) -> None:
        note_close(self._hub, code, self._give_up)

    def _closed_as(self) -> tuple[CloseCode, str]:
        """What the client is told at the end of the queue."""
        code = self._outbox.closing or CloseCode.INTERNAL_ERROR
        return code, last_words(code, self._reason)

    @abc.abstractmethod
    def _encode(self, frame: ServerFrame, seq: int | None) -> bytes: ...

    @abc.abstractmethod
    def _give_up(self) -> None:
        """Who reads neither frames nor the close is waited for no longer."""


def note_close(hub: Hub, code: CloseCode, give_up: Callable[[], None]) -> None:
    """Counts a close; `give_up` is called when the client had the time to take it."""
    hub.instruments.closes[str(code.value),] += 1
    hub.timers.after(_CLOSE_TIMEOUT, give_up)


def last_words(code: CloseCode, reason: str) -> str:
    """What the client is told beside the code."""
    return reason or code.name.lower()


async def until_gone(receive: Receive) -> None:
    """Reads a request to its end, which comes when the client goes or the reply is complete."""
    while (await receive())["type"] != "http.disconnect":
        pass
