"""uvicorn's WebSocket, which lets the app go on with a connection by itself once it is accepted.

For an app under ASGI each connection has a task and a queue, and each message takes two turns of the event loop. So
the scope has an extension: `scope["extensions"][TAKE_OVER](successor)`.
"""

import abc
import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

#: name of the extension
TAKE_OVER = "fairlead.take_over"
#: bytes that are read of one connection in a turn: the least frame has six, and what they say may be its end
_PORTION = 4096
_NO_HANDSHAKE = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
#: messages that an app is given in a turn
MESSAGES = 16
#: frames between two messages that are none: pings, pongs, fragments of the next. A library that cuts messages of
#: 64 KiB into pieces of 1 KiB makes half as many.
MOST_BETWEEN = 128
#: RFC 6455 section 7.4.1: what is sent breaks no rule, and is too much
_POLICY_VIOLATION = 1008
TOO_MANY = "too many frames that are no messages"


class Successor(asyncio.Protocol, abc.ABC):
    """Who goes on with a connection, and is counted among those of the server while it lasts."""

    __slots__ = ("_among",)
    _among: set[Any]

    def succeed(self, transport: asyncio.Transport, among: set[Any]) -> None:
        self._among = among
        among.add(self)
        self.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._among.discard(self)

    @abc.abstractmethod
    def shutdown(self) -> None:
        """uvicorn stops."""


#: From now on the connection is the successor's; False, and nothing has changed, when that cannot be.
TakeOver: TypeAlias = Callable[[Successor], bool]


class Upgrade(WebSocketsSansIOProtocol):
    """Handshake and refusals are uvicorn's, and so is the rest of a connection that nobody takes over."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._parcels = 0
        self._ahead = b""  # what is read in the turns that follow
        self._given = 0
        self._between = 0
        self._was_ended = False

    async def send(self, message: Any) -> None:
        """For an app that has something to say just then, whom we have ended is gone."""
        if self._was_ended:
            raise ConnectionAbortedError("it was ended for what it sent")
        await super().send(message)

    def handle_parser_exception(self) -> None:
        self._was_ended = True
        super().handle_parser_exception()

    def data_received(self, data: bytes) -> None:
        self._parcels += 1
        if self._ahead:
            self._ahead += data
        else:
            self._read_on(data)

    def _read_on(self, data: bytes) -> None:
        self._ahead = data[_PORTION:]
        super().data_received(data[:_PORTION])
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self._turn_away()
        if self.transport.is_closing():
            self._ahead = b""
        elif self._ahead:
            self._hold()
            self.loop.call_soon(self._go_on)
        elif self.read_paused and self.queue.empty():
            self.read_paused = False
            self.transport.resume_reading()

    def _turn_away(self) -> None:
        """What is a request may be no handshake, by its method or by a line that is too long for the library. uvicorn
        would wait for one that is, and nobody has a time for that any more."""
        answer = b"".join(self.conn.data_to_send())
        self.transport.write(answer or _NO_HANDSHAKE)
        self.transport.close()

    def _go_on(self) -> None:
        if not self.transport.is_closing():
            self._read_on(self._ahead)

    def _hold(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    async def receive(self) -> Any:
        """Who has said much at once is heard in several turns, and not read before that."""
        self._given += 1
        if self._given % MESSAGES == 0:
            await asyncio.sleep(0)
        message = await super().receive()
        if self._ahead:
            self._hold()
        return message

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._part()

    def _part(self) -> None:
        """Lets go of what holds it in turn: its parser, and what the scope offers."""
        self.conn.parser.close()
        if self.handshake_initiated and self.response.status_code == 101:
            cast(dict[str, Any], self.scope["extensions"]).pop(TAKE_OVER, None)

    def handle_ping(self) -> None:
        """Of who does not read the answers none is kept (RFC 6455 section 5.5.3)."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()
        self._count()

    def handle_pong(self, event: Frame) -> None:
        super().handle_pong(event)
        self._count()

    def handle_cont(self, event: Frame) -> None:
        super().handle_cont(event)
        self._count()

    def send_receive_event_to_app(self) -> None:
        super().send_receive_event_to_app()
        self._between = 0

    def _count(self) -> None:
        self._between += 1
        if self._between > MOST_BETWEEN and not self.transport.is_closing():
            self.conn.fail(_POLICY_VIOLATION, TOO_MANY)
            self.handle_parser_exception()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            cast(dict[str, Any], self.scope["extensions"])[TAKE_OVER] = self._take_over

    def _take_over(self, successor: Successor) -> bool:
        """Nothing may be under way: a client that spoke before it was accepted is left to uvicorn."""
        is_accepted = self.handshake_complete and not self.transport.is_closing()
        if not is_accepted or self._parcels > 1 or self._ahead or not self.writable.is_set():
            return False
        transport, self.transport = self.transport, _Gone()
        self.connections.discard(self)
        self._part()
        transport.set_protocol(successor)
        successor.succeed(transport, self.connections)
        return True


class _Gone(asyncio.Transport):
    """What uvicorn closes when the app has returned."""

    def close(self) -> None:
        pass
