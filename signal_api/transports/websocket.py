"""sig.v1 over WebSocket: raw ASGI, one task that reads and one that writes."""

import asyncio
from collections.abc import Coroutine
from functools import partial
from typing import Any

from fairlead.log import get_logger
from signal_api.asgi import Message, Receive, Scope, Send
from signal_api.clients import Client, Visitor
from signal_api.dispatch import Dispatch
from signal_api.hub import Hub
from signal_api.messages import ServerFrame
from signal_api.refusals import CloseCode, Closing
from signal_api.transports.outgoing import Outgoing

SUBPROTOCOL = "sig.v1"
#: RFC 6455 section 5.5: a control frame holds 125 bytes, two of them the code
_LONGEST_REASON = 123

_log = get_logger("signal_api.websocket")


class WebSocketConnection(Outgoing):
    """The way out of one WebSocket; satisfies signal_api.clients.Connection. Made by the task that reads."""

    transport = "websocket"

    def __init__(self, hub: Hub, send: Send) -> None:
        super().__init__(hub)
        self._send = send
        self._reader = asyncio.current_task()
        self.was_given_up = False

    def _encode(self, frame: ServerFrame, seq: int | None) -> bytes:
        return frame.encode(seq)

    def _give_up(self) -> None:
        if self._reader is not None and not self._reader.done():
            self.was_given_up = True
            self._reader.cancel()

    async def write(self) -> None:
        """Writes what is queued until the queue ends or the client is gone."""
        try:
            while (frame := await self._outbox.take()) is not None:
                await self._send({"type": "websocket.send", "text": frame.decode()})
            code, words = self._closed_as()
            reason = words.encode()[:_LONGEST_REASON].decode(errors="ignore")
            await self._send({"type": "websocket.close", "code": code.value, "reason": reason})
        except OSError:
            return  # The client went away; the reader is told as well.


async def converse(connection: WebSocketConnection, reading: Coroutine[Any, Any, None]) -> None:
    """Writes while it reads, to the end of what is read or until the client is given up."""
    writer = asyncio.create_task(connection.write())
    try:
        await reading
        if connection.is_closing:
            await writer
    except asyncio.CancelledError:
        if not connection.was_given_up:
            raise
    except OSError:
        pass  # The client went away in the middle of it.
    except Exception:
        _log.exception("a connection failed")
        connection.close(CloseCode.INTERNAL_ERROR)
        await writer
    finally:
        writer.cancel()


class WebSocketTransport:
    """Serves WebSockets whose Host and Origin have been judged."""

    def __init__(self, hub: Hub, dispatch: Dispatch) -> None:
        self._hub = hub
        self._dispatch = dispatch

    async def serve(self, scope: Scope, receive: Receive, send: Send, visitor: Visitor) -> None:
        """Accepts, reads until either side ends it, and leaves the session to wait."""
        await receive()
        offered = scope.get("subprotocols", [])
        chosen = SUBPROTOCOL if SUBPROTOCOL in offered else None
        await send({"type": "websocket.accept", "subprotocol": chosen})
        connection = WebSocketConnection(self._hub, send)
        await converse(connection, self._read(receive, connection, visitor))

    async def _read(self, receive: Receive, connection: WebSocketConnection, visitor: Visitor) -> None:
        client = await self._greet(receive, connection, visitor)
        if client is None:
            return
        try:
            while (frame := await next_frame(receive)) is not None:
                if connection.is_closing:
                    continue
                closing = frame if isinstance(frame, Closing) else await self._dispatch.receive(client, frame)
                if closing is not None:
                    connection.close(*closing)
                    return
        finally:
            self._hub.detach(client, connection)

    async def _greet(self, receive: Receive, connection: WebSocketConnection, visitor: Visitor) -> Client | None:
        """The client that the first frame says it is; None when the connection ends here."""
        patience = self._hub.policy.times.hello_timeout
        timeout = self._hub.timers.after(patience, partial(connection.close, CloseCode.HELLO_TIMEOUT))
        frame = await next_frame(receive)
        timeout.cancel()
        if frame is None or connection.is_closing:
            return None
        hello = frame if isinstance(frame, Closing) else self._dispatch.greet(frame)
        await self._hub.look_for_key(None if isinstance(hello, Closing) else hello.token)
        if isinstance(hello, Closing):
            connection.close(*hello)
            return None
        client = await self._hub.let_in(hello, visitor, connection)
        if isinstance(client, Closing):
            connection.close(*client)
            return None
        await self._dispatch.begin(client, hello.rooms)
        return client


_NO_BINARY = Closing(CloseCode.BAD_REQUEST, "frames are text")


async def next_frame(receive: Receive) -> bytes | Closing | None:
    """The next frame, a Closing for one that is not text, None when the connection is over."""
    message: Message = await receive()
    if message["type"] != "websocket.receive":
        return None
    text: str | None = message.get("text")
    return _NO_BINARY if text is None else text.encode()
