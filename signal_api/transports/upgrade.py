"""uvicorn's WebSocket, which lets the app go on with a connection by itself once it is accepted.

For an app under ASGI each connection has a task and a queue, and each message takes two turns of the event loop. So
the scope has an extension: `scope["extensions"][TAKE_OVER](successor)`. Whose handshake is plain needs neither: the app
is asked at once.
"""

import abc
import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, cast
from urllib.parse import unquote

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request

from signal_api.transports.handshake import Handshake, acceptance, read_handshake
from signal_api.web.asgi import AT_ONCE, Message, Scope

#: name of the extension
TAKE_OVER = "fairlead.take_over"
#: bytes that are read of one connection in a turn: the least frame has six, and what they say may be its end
_PORTION = 4096
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

    @staticmethod
    def open_at_once(connection: H11Protocol, parcel: bytes) -> bool:
        """Whether a connection of which this is the first parcel has been opened as a WebSocket, and is somebody
        else's. What the app has said of it otherwise is in the state of the connection."""
        handshake = read_handshake(parcel)
        return handshake is not None and _Arrival(connection, handshake).knock()

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
        if self.transport.is_closing():
            self._ahead = b""
        elif self._ahead:
            self._hold()
            self.loop.call_soon(self._go_on)
        elif self.read_paused and self.queue.empty():
            self.read_paused = False
            self.transport.resume_reading()

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


class _Arrival:
    """A plain handshake, and the app, which finds all that it may wait for."""

    def __init__(self, connection: H11Protocol, handshake: Handshake) -> None:
        self._connection = connection
        self._handshake = handshake
        self._is_accepted = self._is_over = False

    def knock(self) -> bool:
        asking = cast(Coroutine[Any, Any, None], self._connection.app(self._scope(), self._receive, self._send))
        try:
            asking.send(None)
        except StopIteration:
            return self._is_over
        asking.close()
        raise RuntimeError("the app waits, where it was to decide at once")

    def _scope(self) -> Scope:
        """As uvicorn makes it."""
        connection, handshake = self._connection, self._handshake
        raw_path, _, query = handshake.target.partition(b"?")
        connection.app_state = connection.app_state.copy()
        return {
            "type": "websocket",
            "asgi": {"version": connection.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if connection.scheme == "https" else "ws",
            "server": connection.server,
            "client": connection.client,
            "root_path": connection.root_path,
            "path": connection.root_path + unquote(raw_path.decode()),
            "raw_path": connection.root_path.encode() + raw_path,
            "query_string": query,
            "headers": list(handshake.headers.items()),
            "subprotocols": handshake.subprotocols,
            "state": connection.app_state,
            "extensions": {AT_ONCE: {}, TAKE_OVER: self._take_over},
        }

    async def _receive(self) -> Message:
        return {"type": "websocket.connect"}

    async def _send(self, message: Message) -> None:
        """Nothing but an acceptance is said at once."""
        self._is_accepted = True
        headers = self._connection.server_state.default_headers
        self._connection.transport.write(acceptance(self._handshake, message["subprotocol"], headers))

    def _take_over(self, successor: Successor) -> bool:
        if not self._is_accepted:
            return False
        self._is_over = True
        connection = self._connection
        connection.connections.discard(connection)
        connection.transport.set_protocol(successor)
        successor.succeed(connection.transport, connection.connections)
        return True
