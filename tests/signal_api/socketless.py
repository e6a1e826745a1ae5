"""A node without sockets: clients whose connections are lists."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from fairlead.clock import Entropy
from signal_api.clients import Client, Visitor
from signal_api.engine.contract import Engine
from signal_api.engine.memory import MemoryEngine
from signal_api.node.dispatch import Dispatch
from signal_api.node.hub import Hub
from signal_api.policy import read_policy
from signal_api.protocol.messages import ServerFrame
from signal_api.protocol.refusals import CloseCode, Closing
from signal_api.protocol.sessions import Entry
from tests.signal_api.dice import dice
from tests.signal_api.worlds import JOIN_KEY, ManualClock, configured, instruments


class Line:
    """A connection that keeps what it is sent; the edge of the node."""

    transport = "websocket"

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.closed: CloseCode | None = None
        self.heard = asyncio.Event()
        self.ended = asyncio.Event()

    @property
    def is_over(self) -> bool:
        return self.closed is not None

    def send(self, frame: ServerFrame, seq: int | None = None) -> None:
        if self.closed is None:
            self.frames.append(json.loads(frame.encode(seq)))
            self.heard.set()

    def catch_up(self, greeting: ServerFrame | None, missed: Sequence[Entry]) -> None:
        if greeting is not None:
            self.send(greeting)
        for entry in missed:
            self.send(entry.frame, entry.seq)

    def close(self, code: CloseCode) -> None:
        if self.closed is None:
            self.closed = code
            self.ended.set()


class Seat:
    """One client of a node, and what it was sent."""

    def __init__(self, node: "Node", client: Client, line: Line) -> None:
        self.node = node
        self.client = client
        self.line = line
        self.welcome: dict[str, Any] = line.frames[0]["data"]
        self._read = 0

    def news(self) -> list[dict[str, Any]]:
        """The frames since the last call."""
        fresh = self.line.frames[self._read :]
        self._read = len(self.line.frames)
        return fresh

    def types(self) -> list[str]:
        return [frame["type"] for frame in self.news()]

    async def say(self, kind: str, **fields: Any) -> Closing | None:
        """Sends a frame; `data` and the rest of the envelope are keywords."""
        return await self.node.dispatch.receive(self.client, line_of(kind, **fields))

    async def join(self, room: str = "r", **data: Any) -> dict[str, Any]:
        """Joins and returns the data of `joined`; what came before it is dropped."""
        await self.say("join", data={"room": room} | data)
        joined = [frame for frame in self.news() if frame["type"] == "joined"]
        body: dict[str, Any] = joined[-1]["data"]
        return body

    def lose(self) -> None:
        self.node.hub.detach(self.client, self.line)


class Node:
    """Hub, dispatch and engine on a clock that stands still. Needs a running event loop."""

    clock: ManualClock
    engine: Engine

    def __init__(self, **keys: object) -> None:
        self.instruments = instruments()
        entropy = self.furnish()
        self.hub = Hub(read_policy(configured(**keys)), self.clock, entropy, self.instruments)
        self.dispatch = Dispatch(self.hub, self.engine)

    def furnish(self) -> Entropy:
        """Clock, engine and dice."""
        self.clock = ManualClock()
        self.engine = MemoryEngine(self.clock)
        return dice()

    def try_to_enter(self, line: Line, source: bytes = b"s", **hello: Any) -> Client | Closing:
        """Says hello, by the join key unless there is a token."""
        read = self.dispatch.greet(line_of("hello", data={"v": 1, "token": JOIN_KEY} | hello))
        assert not isinstance(read, Closing)
        return self.hub.enter(read, Visitor(source, "signal.example", is_local=False), line)

    async def enter(self, **hello: Any) -> Seat:
        line = Line()
        client = self.try_to_enter(line, **hello)
        assert isinstance(client, Client), client
        seat = Seat(self, client, line)
        read = self.dispatch.greet(line_of("hello", data={"v": 1} | hello))
        assert not isinstance(read, Closing)
        await self.dispatch.begin(client, read.rooms)
        return seat

    async def pass_time(self, seconds: float) -> None:
        """Moves the clock and runs what became due."""
        self.clock.move(seconds)
        self.hub.timers.run_due()
        await self.hub.settled()


def line_of(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind} | fields).encode()
