"""A connection until its first parcel is read. Most are WebSockets by that parcel: they are opened at once, and nothing
that reads HTTP is ever made for them. Whatever else comes is for that, as it came."""

import asyncio
from typing import Any, cast
from urllib.parse import unquote

from uvicorn.config import Config
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState

from signal_api.protocol.refusals import Refusal
from signal_api.transports.handshake import Handshake, acceptance, read_handshake
from signal_api.transports.upgrade import TAKE_OVER, Successor
from signal_api.web.asgi import AT_ONCE, App, Message, Scope
from signal_api.web.doorstep import Awaited, Connection, Doorstep, Wait


class Arrival(asyncio.Protocol):
    """For uvicorn, whose keywords these are. It is counted on the doorstep and waits at the turnstile; whose handshake
    is plain is asked about at once, by the same ASGI app as everybody."""

    __slots__ = (
        "_among",
        "_app_state",
        "_client",
        "_config",
        "_doorstep",
        "_first",
        "_handshake",
        "_is_accepted",
        "_is_held",
        "_is_over",
        "_loop",
        "_server_state",
        "_source",
        "_transport",
        "_wait",
        "is_waiting",
    )
    _transport: asyncio.Transport
    _handshake: Handshake

    def __init__(
        self,
        doorstep: Doorstep,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._doorstep = doorstep
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._among: set[Any] = server_state.connections
        self._loop = _loop
        self._client: tuple[str, int] | None = None
        self._source: bytes | None = None
        self._wait: Wait | None = None
        self._first = b""
        self.is_waiting = False  # for its turn,
        self._is_held = False  # and not read meanwhile
        self._is_accepted = self._is_over = False

    # What the event loop and the server tell

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        doorstep = self._doorstep
        self._among.add(self)
        self._client = get_remote_addr(self._transport)
        self._source = doorstep.source_of(self._client[0]) if self._client is not None else None
        doorstep.enter(self._source)
        refusal = doorstep.judge(self._source, len(self._among))
        if refusal is None:
            self._wait = doorstep.wait_for(Awaited.HEAD, self)
        else:
            self.refuse(refusal)

    def connection_lost(self, exc: Exception | None) -> None:
        self._among.discard(self)
        self._depart()

    def shutdown(self) -> None:
        """uvicorn stops."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._first += data
        if self.is_waiting:
            return
        self.is_waiting = True
        who = self if self._source is None else self._source
        if not self._doorstep.hub.turnstile.enter(who, self._read, len(data)):
            self.refuse(self._doorstep.full())
        elif self.is_waiting:
            self._is_held = True
            self._transport.pause_reading()

    # Its turn

    def _read(self) -> None:
        self.is_waiting = False
        if self._transport.is_closing():
            return
        if self._is_held:
            self._is_held = False
            self._transport.resume_reading()
        handshake = read_handshake(self._first)
        if handshake is not None and self._is_opened(handshake):
            self._depart()
        else:
            self._as_http().read(self._first)

    def refuse(self, refusal: Refusal) -> None:
        """Answers and hangs up."""
        self._as_http().refuse(refusal)

    def _as_http(self) -> Connection:
        """From now on the connection is of those that speak HTTP."""
        self._among.discard(self)
        given = {"config": self._config, "server_state": self._server_state, "app_state": self._app_state}
        connection = Connection(self._doorstep, self._source, self._wait, **given, _loop=self._loop)
        self._transport.set_protocol(connection)
        connection.connection_made(self._transport)
        return connection

    def _depart(self) -> None:
        self._doorstep.leave(self._source)
        if self._wait is not None:
            self._doorstep.received(self._wait)
            self._wait = None  # They hold each other.

    # A WebSocket

    def _is_opened(self, handshake: Handshake) -> bool:
        """Asks the app, which finds all that it may wait for. What it says otherwise is in the state of the
        connection."""
        self._handshake = handshake
        self._app_state = self._app_state.copy()
        app: App = self._config.loaded_app
        asking = app(self._scope(), self._receive, self._send)
        try:
            asking.send(None)
        except StopIteration:
            return self._is_over
        asking.close()
        raise RuntimeError("the app waits, where it was to decide at once")

    def _scope(self) -> Scope:
        """As uvicorn makes it."""
        config, handshake = self._config, self._handshake
        raw_path, _, query = handshake.target.partition(b"?")
        return {
            "type": "websocket",
            "asgi": {"version": config.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "wss" if is_ssl(self._transport) else "ws",
            "server": get_local_addr(self._transport),
            "client": self._client,
            "root_path": config.root_path,
            "path": config.root_path + unquote(raw_path.decode()),
            "raw_path": config.root_path.encode() + raw_path,
            "query_string": query,
            "headers": list(handshake.headers.items()),
            "subprotocols": handshake.subprotocols,
            "state": self._app_state,
            "extensions": {AT_ONCE: {}, TAKE_OVER: self._take_over},
        }

    async def _receive(self) -> Message:
        return {"type": "websocket.connect"}

    async def _send(self, message: Message) -> None:
        """Nothing but an acceptance is said at once."""
        self._is_accepted = True
        self._transport.write(acceptance(self._handshake, message["subprotocol"], self._server_state.default_headers))

    def _take_over(self, successor: Successor) -> bool:
        if not self._is_accepted:
            return False
        self._is_over = True
        self._among.discard(self)
        self._transport.set_protocol(successor)
        successor.succeed(self._transport, self._among)
        return True
