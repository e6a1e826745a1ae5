"""Pairs of clients in one process: they come in, send each other frames at a pace, and note how long each took."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Self

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from bench.signaling.dialects import Client
from bench.trouble import BenchError

_PATIENCE = 60.0
#: clients that come in at the same time
_AT_ONCE = 32
#: seconds between two looks at what is due
_TICK = 0.002
#: seconds for the last frames to arrive
_LAST = 2.0


class ClientError(BenchError):
    """A client did not get in, or a server sent it away."""


class Connection(WSListener):
    """One client; `arrived` is called with the seconds that a frame from the other end took."""

    def __init__(self, client: Client, greeting: Sequence[bytes], arrived: Callable[[float], None]) -> None:
        self.client = client
        self.ready = asyncio.get_running_loop().create_future()
        self._greeting = greeting
        self._arrived = arrived
        self._transport: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        for text in self._greeting:
            transport.send(WSMsgType.TEXT, text)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if not self.ready.done():
            self.ready.set_exception(ClientError("the server ended a connection before its client was in"))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.TEXT:
            heard = self.client.hear(frame.get_payload_as_bytes())
            if heard.sent is not None:
                self._arrived(time.perf_counter() - heard.sent)
            if heard.ready and not self.ready.done():
                self.ready.set_result(None)
            if heard.answer is not None:
                transport.send(WSMsgType.TEXT, heard.answer)

    def send(self) -> None:
        assert self._transport is not None  # Only who is ready sends.
        self._transport.send(WSMsgType.TEXT, self.client.frame(time.perf_counter()))

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.disconnect()
            await self._transport.wait_disconnected()


class Crowd:
    """Clients of one server, until the end of a block."""

    def __init__(self) -> None:
        self.connections: list[Connection] = []
        self.latencies: list[float] = []

    async def enter(self, clients: Sequence[Client]) -> None:
        """Connects them all; raises ClientError."""
        at_once = asyncio.Semaphore(_AT_ONCE)

        async def enter(client: Client) -> None:
            async with at_once:
                opening = client.opening()

                def listener() -> Connection:
                    return Connection(client, opening.greeting, self.latencies.append)

                _, connection = await ws_connect(listener, opening.url, extra_headers=opening.headers)
                assert isinstance(connection, Connection)  # `listener` made it.
                self.connections.append(connection)
                await connection.ready

        try:
            async with asyncio.timeout(_PATIENCE):
                await asyncio.gather(*map(enter, clients))
        except TimeoutError:
            raise ClientError(f"{len(clients)} clients were not in after {_PATIENCE:.0f} s") from None

    async def talk(self, rate: float, seconds: float) -> int:
        """Sends so many frames a second, each client in turn; how many were sent. None waits for another."""
        begun, sent = time.perf_counter(), 0
        while (passed := time.perf_counter() - begun) < seconds:
            due = int(passed * rate)
            for number in range(sent, due):
                self.connections[number % len(self.connections)].send()
            sent = due
            await asyncio.sleep(_TICK)
        deadline = time.perf_counter() + _LAST
        while len(self.latencies) < sent and time.perf_counter() < deadline:  # noqa: ASYNC110 - frames tell nobody
            await asyncio.sleep(_TICK)
        return sent

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(connection.close() for connection in self.connections))
        self.connections.clear()
