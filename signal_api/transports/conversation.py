"""What is said over one WebSocket, whoever reads it: hello, then frames, one after the other."""

from collections.abc import Coroutine
from functools import partial
from typing import Any, Protocol

from signal_api.clients import Client, Connection, Visitor
from signal_api.node.dispatch import Dispatch, Rest
from signal_api.node.hub import Hub
from signal_api.protocol.refusals import CloseCode, Closing

#: seconds that a client waits for its turn, and for its welcome; ours go elsewhere after as many
_TURN_COMES = 10.0
#: what is said to a binary message
NO_BINARY = Closing(CloseCode.BAD_REQUEST, "frames are text")


class Closable(Connection, Protocol):
    """A connection that says why it ends, and whether it does."""

    @property
    def is_closing(self) -> bool: ...

    def close(self, code: CloseCode, reason: str = "") -> None: ...

    def hold(self) -> None:
        """What is sent in the rest of this turn may leave together."""
        ...


class Conversation:
    """Between a client and its session. It begins with the patience for hello, and for what follows from it: a client
    that nobody hears may be gone without a word."""

    __slots__ = ("_client", "_connection", "_dispatch", "_hub", "_patience", "_visitor")

    def __init__(self, hub: Hub, dispatch: Dispatch, connection: Closable, visitor: Visitor) -> None:
        self._hub = hub
        self._dispatch = dispatch
        self._connection = connection
        self._visitor = visitor
        self._client: Client | None = None
        impatient = partial(connection.close, CloseCode.HELLO_TIMEOUT)
        self._patience = hub.timers.after(hub.policy.times.hello_timeout, impatient)

    def hear(self, frame: bytes | Closing) -> Coroutine[Any, Any, None] | None:
        """Handles a frame, or ends the connection for what was none. What is left to wait for is for the caller to
        await, before the next frame."""
        if self._connection.is_closing:
            return None
        if isinstance(frame, Closing):
            self._close(frame)
            return None
        if self._client is None:
            return self._greet(frame)
        done = self._dispatch.receive_now(self._client, frame)
        if done is None:
            return None
        if not isinstance(done, Closing):
            return self._finish(done)
        self._close(done)
        return None

    def end(self) -> None:
        """The connection is over, or about to be: the session waits for another."""
        self._patience.cancel()
        if self._client is not None:
            self._hub.detach(self._client, self._connection)

    async def _finish(self, rest: Rest) -> None:
        self._close(await rest)

    def _close(self, closing: Closing | None) -> None:
        if closing is not None:
            self._connection.close(*closing)
            self.end()

    async def _greet(self, frame: bytes) -> None:
        """Lets in whom the first frame says it is."""
        self._patience.cancel()
        overrun = partial(self._connection.close, CloseCode.OVER_CAPACITY, "too many came at once")
        self._patience = self._hub.timers.after(_TURN_COMES, overrun)
        await self._hub.turnstile.wait(self._visitor.source)
        self._patience.cancel()
        if self._connection.is_over:
            return
        self._connection.hold()  # a welcome, and what the rooms of hello look like
        hello = self._dispatch.greet(frame)
        if isinstance(hello, Closing):
            self._close(hello)
            return
        await self._hub.look_for_key(hello.token)
        client = await self._hub.let_in(hello, self._visitor, self._connection)
        if isinstance(client, Closing):
            self._close(client)
            return
        self._client = client
        await self._dispatch.begin(client, hello.rooms)
