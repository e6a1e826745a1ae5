"""Nodes on one Redis, in one process: each may be asked, stopped or killed."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fairlead.clock import Entropy, Now
from fairlead.metrics import Metrics
from signal_api.clients import Client, Visitor
from signal_api.engine.redis.engine import RedisEngine
from signal_api.engine.redis.journal import Tenure, record_of
from signal_api.protocol.refusals import CloseCode, Closing, EngineUnavailableError
from signal_api.transports.http import HttpTransport
from tests.redis_server import PATIENT
from tests.signal_api.socketless import Line, Node, Seat, line_of
from tests.signal_api.worlds import JOIN_KEY, ManualClock
from tests.waiting import eventually

#: seconds that are waited for a Redis that is not heard, and between two attempts
_INSISTING, _AGAIN = 20.0, 0.1


class RealClock(ManualClock):
    """Redis has a clock of its own, so that time cannot stand still for long; but it may be moved on."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._still: Now | None = None

    def now(self) -> Now:
        monotonic, wall = self._still or (time.monotonic(), time.time())
        return Now(monotonic + self._ahead, wall + self._ahead)

    def stand_still(self) -> None:
        """Until it is moved, however long the machine takes for what is done meanwhile."""
        self._still = Now(time.monotonic(), time.time())

    def move(self, seconds: float) -> None:
        self._ahead += seconds


class RedisNode(Node):
    """A node without sockets whose rooms and sessions are in Redis; time is real."""

    clock: RealClock

    def __init__(self, url: str, prefix: str, patience: float, **keys: object) -> None:
        self._place, self._patience = (url, prefix), patience
        super().__init__(**keys)
        self.http = HttpTransport(self.hub, self.dispatch)
        self.is_alive = False

    def furnish(self) -> Entropy:
        self.clock = RealClock()
        self.metrics = Metrics("signal")
        self.engine = self.redis = RedisEngine(*self._place, self.clock, os.urandom, self.metrics, self._patience)
        return os.urandom

    async def start(self) -> None:
        await self.redis.start()
        self.is_alive = True

    async def kept(self) -> None:
        """Returns when Redis has all that the sessions of this node have been told."""
        await eventually(lambda: all(_is_kept(tenure) for tenure in self.redis._journal.tenures.values()))

    async def stop(self) -> None:
        """It goes in peace."""
        if self.is_alive:
            self.is_alive = False
            await self.hub.close()
            await self.redis.stop()

    async def die(self) -> None:
        """From one moment to the next it does nothing any more."""
        self.is_alive = False
        for task in self.redis._tasks:
            task.cancel()
        await self.redis._vault.close()
        await self.redis._store.close()
        await self.hub.close()

    async def let_in(self, line: Line, **hello: Any) -> Client | Closing:
        read = self.dispatch.greet(line_of("hello", data={"v": 1, "token": JOIN_KEY} | hello))
        assert not isinstance(read, Closing)
        client = await self.hub.let_in(read, Visitor(b"s", "signal.example", is_local=False), line)
        if isinstance(client, Client):
            await self.dispatch.begin(client, read.rooms)
        return client

    async def enter(self, **hello: Any) -> Seat:
        """Insists: on a busy machine Redis may not be heard in time."""
        async with asyncio.timeout(_INSISTING):
            while not isinstance(client := await self.let_in(line := Line(), **hello), Client):
                assert client.code is CloseCode.ENGINE_UNAVAILABLE, client
                await asyncio.sleep(_AGAIN)
            for room in hello.get("rooms", ()):
                while room not in client.session.rooms:
                    await self.dispatch.receive(client, line_of("join", room=room))
        return Seat(self, client, line)

    async def resume(self, seat: Seat, after: str) -> Seat:
        """The same client on another connection, here."""
        return await self.enter(resume={"sid": seat.welcome["sid"], "key": seat.welcome["key"], "after": after})


def _is_kept(tenure: Tenure) -> bool:
    session = tenure.client.session
    if session.news or tenure.record != record_of(tenure.client):
        return False
    return (tenure.epoch, tenure.seq) == (session.epoch, session.seq)


class Cluster:
    """Starts nodes under one prefix."""

    def __init__(self, url: str, prefix: str, **keys: object) -> None:
        self._url = url
        self._prefix = prefix
        self._keys: dict[str, object] = {"limits__frame_burst": 100000, "limits__sessions_per_source": 10000} | keys
        self.nodes: list[RedisNode] = []

    async def node(self, url: str | None = None, patience: float = PATIENT) -> RedisNode:
        """One more; `url` is its own way to the same Redis. Where answers are lost there, it waits for them so long."""
        node = RedisNode(url or self._url, self._prefix, patience, **self._keys)
        async with asyncio.timeout(_INSISTING):
            while not node.is_alive:
                with contextlib.suppress(EngineUnavailableError):
                    await node.start()
        self.nodes.append(node)
        return node


@asynccontextmanager
async def cluster_on(url: str, prefix: str, **keys: object) -> AsyncIterator[Cluster]:
    cluster = Cluster(url, prefix, **keys)
    try:
        yield cluster
    finally:
        for node in cluster.nodes:
            await node.stop()
