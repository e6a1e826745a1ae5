"""Clients of nodes that share a Redis, which may lose it, or each other."""

import asyncio
import contextlib
import json
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin

from tests.processes import AUTH, JOIN_KEY, Daemon, Daemons
from tests.redis_server import RedisServer
from tests.signal_api.listener import Listener


def nodes_on(daemons: Daemons, server: RedisServer, count: int = 2, **keys: Any) -> list[Daemon]:
    """That many nodes on one Redis, ready."""
    engine = {"kind": "redis", "url": server.url}
    limits = {"sessions_per_source": 10000, "connects_per_second": 10000, "frame_burst": 100000}
    section = {"listen": "127.0.0.1:0", "ops": "127.0.0.1:0", "join_key": JOIN_KEY, "engine": engine, "limits": limits}
    found = [daemons.start("signal_api", {"auth": AUTH, "signal_api": section | keys}) for _ in range(count)]
    for daemon in found:
        daemon.await_ready()
    return found


class Talker(Listener):
    """A client that resumes where it stopped, and notices a hole."""

    def __init__(self, node: Daemon, room: str = "r") -> None:
        super().__init__()
        self.node = node
        self.room = room
        self.rooms = (room, "q")
        self.frames: list[dict[str, Any]] = []
        self.welcome: dict[str, Any] = {}
        self.closed: list[int] = []
        self._socket: ClientConnection | None = None
        self._reading: asyncio.Task[None] | None = None
        self._numbers = 0
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.dial()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._reading is not None:
            self._reading.cancel()
        if self._socket is not None:
            self._socket.transport.abort()

    async def dial(self, node: Daemon | None = None) -> None:
        """Connects, and goes on with the session when there is one."""
        self.node = node or self.node
        address = await asyncio.to_thread(self.node.address, "http")
        hello: dict[str, Any] = {"v": 1, "token": JOIN_KEY, "rooms": [self.room]}
        if self.welcome:
            resume = {"sid": self.welcome["sid"], "key": self.welcome["key"], "after": self.position}
            hello |= {"resume": resume}
        self._socket = await connect(
            f"ws://{address}/v1/ws",
            origin=Origin(f"http://{address}"),
            proxy=None,
            ping_interval=None,
            open_timeout=60,  # A machine that runs thousands of them on what others leave is slow to begin with.
        )
        await self._socket.send(json.dumps({"type": "hello", "data": hello}))
        self._reading = asyncio.create_task(self._read(self._socket))

    async def _read(self, socket: ClientConnection) -> None:
        try:
            while True:
                frame = json.loads(await socket.recv())
                if frame["type"] == "welcome":
                    self.welcome = frame["data"]
                self.take(frame)
                self.frames.append(frame)
                self._news.set()
                if frame["type"] == "ping":
                    with contextlib.suppress(ConnectionClosed):  # There may be more to read for all that.
                        await socket.send('{"type":"pong"}')
                elif frame["type"] == "error" and self.seq < 2:
                    await asyncio.sleep(1)  # The rooms that hello named; it may be asked again.
                    await socket.send(json.dumps({"type": "join", "data": {"room": self.room}}))
        except ConnectionClosed:
            self.closed.append(socket.close_code or 0)
        finally:
            self._news.set()

    @property
    def heard(self) -> list[Any]:
        return [frame["data"] for frame in self.frames if frame["type"] == "message"]

    async def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The reply."""
        self._numbers += 1
        name, before = fields.pop("id", f"a{self._numbers}"), len(self.frames)
        await self.send(kind, id=name, **fields)
        reply: dict[str, Any] = await self.until(
            lambda: next((frame for frame in self.frames[before:] if frame.get("re") == name), None)
        )
        return reply

    async def insist(self, kind: str, **fields: Any) -> None:
        """Asks, and again under the same id while it is told to try again."""
        self._numbers += 1
        async with asyncio.timeout(30):
            while (reply := await self.ask(kind, id=f"a{self._numbers}", **fields))["type"] != "ok":
                assert reply["data"]["retryable"], reply
                await asyncio.sleep(0.1)

    async def send(self, kind: str, **fields: Any) -> None:
        assert self._socket is not None
        await self._socket.send(json.dumps({"type": kind} | fields))

    async def until(self, look: Any, seconds: float = 40) -> Any:
        """What a look at this client finds, as soon as there is something to find."""
        async with asyncio.timeout(seconds):
            while not (found := look()):
                if self._reading is not None and self._reading.done():
                    self._reading.result()
                self._news.clear()
                await self._news.wait()
            return found
