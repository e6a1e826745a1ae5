"""A way to Redis on which a reply can be lost, or come late: what was asked for has been done all the same."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from signal_api.engine.redis.scripts import digest_of
from tests.redis_server import RedisServer


class RedisProxy:
    """Passes on what clients say to a Redis and what it answers, but for the replies that are to be lost or held."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._watched: bytes | None = None
        #: the script that is watched has been asked for
        self.asked = asyncio.Event()
        #: replies that are held may pass
        self.passing = asyncio.Event()
        self.url = ""
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def watch(self, script: str, is_held: bool = False) -> None:
        """The reply to the next call of a script is lost with its connection's later ones, or held until `passing`."""
        self._server.command("SCRIPT", "LOAD", script)
        self._watch(digest_of(script), is_held)

    def watch_word(self, command: str) -> None:
        """The reply to the next such command is held until `passing`."""
        self._watch(command, is_held=True)

    def _watch(self, word: str, is_held: bool) -> None:
        self._watched = word.encode()
        self._is_held = is_held
        self.asked.clear()
        self.passing.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client."""
        task = asyncio.current_task()
        assert task is not None  # The server has made one.
        self._open[task] = writer
        task.add_done_callback(self._open.pop)
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server.port)
        gate = asyncio.Event()
        gate.set()
        back = asyncio.create_task(self._back(server_reader, writer, gate))
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self._watched is not None and self._watched in data:
                    self._watched = None
                    gate.clear()
                    self.asked.set()
                server_writer.write(data)
        back.cancel()
        await asyncio.gather(back, return_exceptions=True)
        server_writer.close()
        writer.close()

    async def end(self) -> None:
        """Whoever still has a connection loses it."""
        for writer in self._open.values():
            writer.transport.abort()
        await asyncio.gather(*self._open)

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        while data := await reader.read(65536):
            if not gate.is_set():
                if not self._is_held:
                    continue
                await self.passing.wait()
                gate.set()
            writer.write(data)


@asynccontextmanager
async def proxy_to(server: RedisServer) -> AsyncIterator[RedisProxy]:
    proxy = RedisProxy(server)
    listener = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    proxy.url = f"redis://{host}:{port}/0"
    try:
        yield proxy
    finally:
        listener.close()
        await proxy.end()
