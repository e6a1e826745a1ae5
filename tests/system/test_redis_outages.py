"""Redis stands still, is emptied, comes back without anything: what was promised then, on daemons as they run."""

import asyncio
import contextlib
import json
import os
import time
from types import TracebackType
from typing import Any, Self

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin

from tests.processes import AUTH, JOIN_KEY, Daemon, Daemons
from tests.redis_server import RedisServer

pytestmark = pytest.mark.requires("redis-server")

#: seconds for which Redis stands still; more than a node may be silent before it is taken for dead
_PAUSE = float(os.environ.get("FAIRLEAD_REDIS_PAUSE", "3"))


def nodes_on(daemons: Daemons, server: RedisServer, count: int = 2, **keys: Any) -> list[Daemon]:
    """That many nodes on one Redis, ready."""
    engine = {"kind": "redis", "url": server.url}
    limits = {"sessions_per_source": 10000, "connects_per_second": 10000, "frame_burst": 100000}
    section = {"listen": "127.0.0.1:0", "ops": "127.0.0.1:0", "join_key": JOIN_KEY, "engine": engine, "limits": limits}
    found = [daemons.start("signal_api", {"auth": AUTH, "signal_api": section | keys}) for _ in range(count)]
    for daemon in found:
        daemon.await_ready()
    return found


class Talker:
    """A client that resumes where it stopped, and notices a hole."""

    def __init__(self, node: Daemon, room: str = "r") -> None:
        self.node = node
        self.room = room
        self.frames: list[dict[str, Any]] = []
        self.welcome: dict[str, Any] = {}
        self.epoch, self.seq = "", 0
        self.resets = 0
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
            resume = {"sid": self.welcome["sid"], "key": self.welcome["key"], "after": f"{self.epoch}.{self.seq}"}
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
                self._take(frame)
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

    def _take(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "welcome":
            if "seq" in frame:
                self.resets += bool(self.welcome)
                self.seq = 0
            self.welcome, self.epoch = frame["data"], frame["data"]["epoch"]
        assert frame.get("room", self.room) in (self.room, "q"), "a foreign room's frame"
        if "seq" in frame:
            assert frame["seq"] == self.seq + 1, f"a hole, or a frame twice: {frame} after {self.seq}"
            self.seq = frame["seq"]
        self.frames.append(frame)

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


async def _http(daemon: Daemon) -> httpx.AsyncClient:
    address = await asyncio.to_thread(daemon.address, "http")
    return httpx.AsyncClient(base_url=f"http://{address}", timeout=20, headers={"Authorization": f"Bearer {JOIN_KEY}"})


async def _joins_again(daemon: Daemon, within: float) -> None:
    """A new client comes into a room, so many seconds from now at the latest."""
    deadline = time.monotonic() + within
    async with await _http(daemon) as http:
        while (await http.post("/v1/sessions", json={"v": 1, "token": JOIN_KEY})).status_code != 201:
            assert time.monotonic() < deadline, f"not back within {within} s"
            await asyncio.sleep(0.05)


async def test_while_redis_stands_still_everything_waits_that_needs_it_and_nothing_else(
    daemons: Daemons, redis_server: RedisServer
) -> None:
    one, other = await asyncio.to_thread(nodes_on, daemons, redis_server)
    async with Talker(one) as alice, Talker(other) as bob, await _http(one) as http:
        await alice.until(lambda: len(alice.frames) >= 3)
        await bob.until(lambda: bob.seq >= 2)
        redis_server.pause()
        begun = time.monotonic()
        reply = await alice.ask("join", data={"room": "q"})
        refused = await http.post("/v1/sessions", json={"v": 1, "token": JOIN_KEY})
        assert time.monotonic() - begun < 2
        assert (reply["type"], reply["data"]["code"]) == ("error", "engine_unavailable")
        assert (refused.status_code, refused.json()["code"]) == (503, "engine_unavailable")
        assert (await http.get("/v1/ice")).status_code == 200
        assert (await asyncio.to_thread(one.get, "/healthz"))[0] == 200
        assert (await asyncio.to_thread(one.get, "/readyz"))[0] == 503
        await asyncio.sleep(max(0.0, _PAUSE - (time.monotonic() - begun)))
        redis_server.go_on()
        await _joins_again(one, 5)
        for number in range(5):
            assert (await alice.ask("message", room="r", to="*", data=number))["type"] == "ok"
        await bob.until(lambda: bob.heard == [0, 1, 2, 3, 4])
        assert (await alice.ask("join", data={"room": "q"}))["type"] in ("ok", "joined")
        assert (alice.closed, bob.closed, alice.resets + bob.resets) == ([], [], 0)
    await asyncio.to_thread(one.await_ready)


@pytest.mark.parametrize("how", ["emptied", "restarted"])
async def test_when_redis_has_lost_everything_all_begin_anew_and_are_told(
    how: str, daemons: Daemons, redis_server: RedisServer
) -> None:
    one, other = await asyncio.to_thread(nodes_on, daemons, redis_server)
    async with Talker(one) as alice, Talker(other) as bob:
        await bob.until(lambda: bob.seq >= 2)
        await alice.until(lambda: len(alice.frames) >= 2)
        speaking = asyncio.create_task(_speak(alice))
        await bob.until(lambda: len(bob.heard) > 20)
        if how == "emptied":
            redis_server.command("FLUSHALL")
        else:
            redis_server.kill()
            await asyncio.to_thread(redis_server.start)
        back = time.monotonic()
        await alice.until(lambda: alice.closed, 10)
        await bob.until(lambda: bob.closed, 10)
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
        assert (alice.closed, bob.closed) == ([4201], [4201])
        await _joins_again(one, 5 - (time.monotonic() - back))
        for talker, node in ((alice, other), (bob, one)):
            await talker.dial(node)
            await talker.until(lambda talker=talker: talker.resets == 1 and talker.seq >= 2)
        assert not alice.welcome["resumed"]
        await alice.until(lambda: alice.frames[-1]["type"] in ("joined", "member.joined"))
        count = len(bob.heard)
        assert (await alice.ask("message", room="r", to="*", data="after"))["type"] == "ok"
        await bob.until(lambda: bob.heard[count:] == ["after"])


async def _speak(talker: Talker) -> None:
    for number in range(100000):
        try:
            await talker.send("message", room="r", to="*", data=number)
        except ConnectionClosed:
            return
        await asyncio.sleep(0.002)
