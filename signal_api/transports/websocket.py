"""sig.v1 over WebSocket: on a wire where the server hands it over, else as any ASGI server has it, with a task that
reads and one that writes."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from fairlead.log import get_logger
from signal_api.clients import Visitor
from signal_api.node.dispatch import Dispatch
from signal_api.node.hub import Hub
from signal_api.protocol.messages import ServerFrame
from signal_api.protocol.refusals import CloseCode, Closing
from signal_api.transports.breather import Breather
from signal_api.transports.conversation import NO_BINARY, Conversation
from signal_api.transports.direct import Direct
from signal_api.transports.outgoing import Outgoing
from signal_api.transports.upgrade import TAKE_OVER, TakeOver
from signal_api.transports.wire import Framing
from signal_api.web.asgi import Message, Receive, Scope, Send

SUBPROTOCOL = "sig.v1"
#: A frame that is a little too large is told so by us; one that is much too large never reaches us whole.
FRAME_SLACK = 2
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

    def hold(self) -> None:
        """Nothing to do: what is queued in a turn is written in the next."""

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
        framing = self.framing = Framing(hub.policy.limits.frame_bytes * FRAME_SLACK)
        framing.heard = Breather(framing.gather, framing.write_out, lambda: len(hub.turnstile) > 0).heard

    async def serve(self, scope: Scope, receive: Receive, send: Send, visitor: Visitor) -> None:
        """Accepts, and has the wire go on; or else reads until either side ends it. Then the session waits."""
        await receive()
        offered = scope.get("subprotocols", [])
        chosen = SUBPROTOCOL if SUBPROTOCOL in offered else None
        await send({"type": "websocket.accept", "subprotocol": chosen})
        take_over: TakeOver | None = scope.get("extensions", {}).pop(TAKE_OVER, None)
        if take_over is not None:
            direct = Direct(self._hub, self._dispatch, self.framing, visitor)
            if take_over(direct.wire):
                return
            direct.lost()
        connection = WebSocketConnection(self._hub, send)
        conversation = Conversation(self._hub, self._dispatch, connection, visitor)
        await converse(connection, _read(receive, connection, conversation))


async def _read(receive: Receive, connection: WebSocketConnection, conversation: Conversation) -> None:
    try:
        while not connection.is_closing and (frame := await next_frame(receive)) is not None:
            rest = conversation.hear(frame)
            if rest is not None:
                await rest
    finally:
        conversation.end()


async def next_frame(receive: Receive) -> bytes | Closing | None:
    """The next frame, a Closing for one that is not text, None when the connection is over."""
    message: Message = await receive()
    if message["type"] != "websocket.receive":
        return None
    text: str | None = message.get("text")
    return NO_BINARY if text is None else text.encode()
