"""The app, its clock in the test's hand: HTTP goes straight in, WebSockets through a real server."""

import asyncio
import json
import math
from types import TracebackType
from typing import Any, ClassVar, Self

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from fairlead.daemon import HttpServer
from signal_api.app import create_app
from signal_api.engine.memory import MemoryEngine
from signal_api.policy import read_policy
from signal_api.server import open_sockets, uvicorn_options
from signal_api.web.doorstep import Doorstep
from tests.signal_api.dice import dice
from tests.signal_api.worlds import JOIN_KEY, ManualClock, configured, instruments


class Peer:
    """One WebSocket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind} | fields))

    async def hear(self, kind: str) -> dict[str, Any]:
        """The next frame of this type; those before it are dropped."""
        async with asyncio.timeout(20):
            while True:
                frame: dict[str, Any] = json.loads(await self.socket.recv())
                if frame["type"] == kind:
                    return frame

    async def end(self) -> int | None:
        """Reads until the server has closed it; the close code."""
        try:
            async with asyncio.timeout(20):
                while True:
                    await self.socket.recv()
        except ConnectionClosed:
            return self.socket.close_code


class Service:
    """`async with Service(demo=True) as service`; keys as in tests.signal_api.worlds.configured.

    The server is started for the first WebSocket; before that nothing is needed but the app.
    """

    #: what uvicorn is told otherwise than as it ships
    options: ClassVar[dict[str, object]] = {}

    def __init__(self, **keys: object) -> None:
        self.loaded = configured(**keys)
        self.clock = ManualClock()
        self.instruments = instruments()
        self.engine = MemoryEngine(self.clock)
        self.app = create_app(read_policy(self.loaded), self.clock, dice(), self.engine, self.instruments)
        self.hub = self.app.hub
        self.doorstep = Doorstep(self.hub, math.inf, self.loaded.section.trusted_proxies)
        self._sockets = open_sockets(self.loaded)
        self.authority = f"127.0.0.1:{self._sockets[0].getsockname()[1]}"
        options = uvicorn_options(self.loaded.section, self.doorstep) | self.options
        self._server = HttpServer(self.app, self._sockets, **options)
        self._peers: list[ClientConnection] = []
        self._started = False
        self.http = self.http_from("127.0.0.1")

    def http_from(self, client: str) -> httpx.AsyncClient:
        """An HTTP client at an address of its own."""
        transport = httpx.ASGITransport(self.app, client=(client, 50000), raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url=f"http://{self.authority}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        for peer in self._peers:
            peer.transport.abort()
        await self.http.aclose()
        if self._started:
            await self._server.stop()
        for sock in self._sockets:
            sock.close()
        await self.hub.close()

    async def start(self) -> None:
        """Starts the server unless it runs."""
        if not self._started:
            self._started = True
            await self._server.start()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._server.server.server_state.connections)

    async def dial(self, path: str = "/v1/ws", named: str | None = None, **options: Any) -> Peer:
        """Opens a WebSocket from the service's own page; `named` is the Host, `options` go to the client."""
        await self.start()
        host, _, port = self.authority.partition(":")
        chosen: dict[str, Any] = {
            "origin": Origin(f"http://{self.authority}"),
            "subprotocols": [Subprotocol("sig.v1")],
            "host": host,
            "port": int(port),
            "ping_interval": None,
            "proxy": None,
        }
        socket = await connect(f"ws://{named or self.authority}{path}", **(chosen | options))
        self._peers.append(socket)
        return Peer(socket)

    async def enter(self, **hello: Any) -> Peer:
        """Dials and says hello, by the join key unless there is a token."""
        peer = await self.dial()
        await peer.say("hello", data={"v": 1, "token": JOIN_KEY} | hello)
        return peer

    def pass_time(self, seconds: float) -> None:
        self.clock.move(seconds)
        self.hub.timers.run_due()


class PlainService(Service):
    """Behind a server that hands no connection over, as any ASGI server might be."""

    options: ClassVar[dict[str, object]] = {"ws": "websockets-sansio"}
