"""Pairs of clients: they come in from this process, and a program in C has them send each other frames at a pace."""

import asyncio
import socket
from collections.abc import Sequence
from typing import NamedTuple, Self

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from bench.programs import report
from bench.signaling.dialects import Client
from bench.trouble import BenchError

_PATIENCE = 60.0
#: clients that come in at the same time
_AT_ONCE = 32
#: seconds that the program may take beyond those that it sends for
_LAST = 20.0


class ClientError(BenchError):
    """A client did not get in, or a server sent it away."""


class Talk(NamedTuple):
    """What became of the frames. CPU is user and system time of the whole server; `late` are those that came when
    nobody waited any more, or that a server did not take."""

    sent: int
    arrived: int
    refused: int
    seconds: float
    cpu_seconds: float
    p50_ms: float
    p99_ms: float


class Connection(WSListener):
    """One client until it is in; from then on it answers what has to be answered."""

    def __init__(self, client: Client, greeting: Sequence[bytes]) -> None:
        self.client = client
        self.ready = asyncio.get_running_loop().create_future()
        self._greeting = greeting
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
            if heard.ready and not self.ready.done():
                self.ready.set_result(None)
            if heard.answer is not None:
                transport.send(WSMsgType.TEXT, heard.answer)

    def let_go(self) -> socket.socket:
        """The socket, which is not read here any more."""
        assert self._transport is not None  # Only who is ready is let go.
        self._transport.underlying_transport.pause_reading()
        opened: socket.socket = self._transport.underlying_transport.get_extra_info("socket")
        return opened

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.disconnect()
            await self._transport.wait_disconnected()


class Crowd:
    """Clients of one server, until the end of a block; so many come in at the same time."""

    def __init__(self, at_once: int = _AT_ONCE) -> None:
        self.connections: list[Connection] = []
        self._at_once = at_once

    async def enter(self, clients: Sequence[Client]) -> None:
        """Connects them all; raises ClientError."""
        at_once = asyncio.Semaphore(self._at_once)

        async def enter(client: Client) -> None:
            async with at_once:
                opening = client.opening()

                def listener() -> Connection:
                    return Connection(client, opening.greeting)

                _, connection = await ws_connect(listener, opening.url, extra_headers=opening.headers)
                assert isinstance(connection, Connection)  # `listener` made it.
                self.connections.append(connection)
                await connection.ready

        try:
            async with asyncio.timeout(_PATIENCE):
                await asyncio.gather(*map(enter, clients))
        except TimeoutError:
            raise ClientError(f"{len(clients)} clients were not in after {_PATIENCE:.0f} s") from None

    async def talk(self, rate: float, seconds: float, server: int) -> Talk:
        """Sends so many frames a second, each client in turn, to the server of this process id; raises BenchError."""
        sockets = [connection.let_go() for connection in self.connections]
        texts = [connection.client.frame() for connection in self.connections]
        return await asyncio.to_thread(talk, sockets, texts, rate, seconds, server)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(connection.close() for connection in self.connections))
        self.connections.clear()


def talk(sockets: Sequence[socket.socket], texts: Sequence[bytes], rate: float, seconds: float, server: int) -> Talk:
    """Has a program send each socket's text over and over; raises BenchError."""
    clients = (f"{opened.fileno()} {text.hex()}" for opened, text in zip(sockets, texts, strict=True))
    plan = "\n".join((f"{rate} {seconds} {server} {len(sockets)}", *clients))
    told = report("signals.c", ["talk"], plan, None, seconds + _LAST, sockets)
    milliseconds = told["p50_us"] / 1000, told["p99_us"] / 1000
    counts = told["sent"], told["arrived"], told["refused"]
    return Talk(*counts, told["seconds"], told["cpu_seconds"], *milliseconds)
