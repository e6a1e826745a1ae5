"""uvicorn's WebSocket, which lets the app go on with a connection by itself once it is accepted.

For an app under ASGI each connection has a task and a queue, and each message takes two turns of the event loop. So
the scope has an extension: `scope["extensions"][TAKE_OVER](successor)`.
"""

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

#: name of the extension
TAKE_OVER = "fairlead.take_over"


class Successor(asyncio.Protocol):
    """Who goes on with a connection, and is counted among those of the server while it lasts."""

    __slots__ = ("_among",)
    _among: set[Any]

    def succeed(self, transport: asyncio.Transport, among: set[Any]) -> None:
        self._among = among
        among.add(self)
        self.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._among.discard(self)

    def shutdown(self) -> None:
        """uvicorn stops."""
        raise NotImplementedError


#: From now on the connection is the successor's; False, and nothing has changed, when that cannot be.
TakeOver: TypeAlias = Callable[[Successor], bool]


class Upgrade(WebSocketsSansIOProtocol):
    """Handshake and refusals are uvicorn's, and so is the rest of a connection that nobody takes over."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._parcels = 0

    def data_received(self, data: bytes) -> None:
        self._parcels += 1
        super().data_received(data)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            cast(dict[str, Any], self.scope["extensions"])[TAKE_OVER] = self._take_over

    def _take_over(self, successor: Successor) -> bool:
        """Nothing may be under way: a client that spoke before it was accepted is left to uvicorn."""
        is_accepted = self.handshake_complete and not self.transport.is_closing()
        if not is_accepted or self._parcels > 1 or not self.writable.is_set():
            return False
        transport, self.transport = self.transport, _Gone()
        self.connections.discard(self)
        self.conn.parser.close()  # The generator and its owner hold each other.
        transport.set_protocol(successor)
        successor.succeed(transport, self.connections)
        return True


class _Gone(asyncio.Transport):
    """What uvicorn closes when the app has returned."""

    def close(self) -> None:
        pass
