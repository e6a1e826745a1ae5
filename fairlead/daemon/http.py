"""uvicorn inside a loop that is not its own: no signal handlers, no exit, sockets that were bound before."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from fairlead.datagram import Address


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the daemon's."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """An app that cannot start is no reason to end the process from inside a task."""
        try:
            await super().startup(sockets)
        except SystemExit as error:
            raise RuntimeError("the app could not start; its log says why") from error


class HttpServer:
    """Serves an ASGI app on sockets that are bound; further keyword arguments are uvicorn.Config's."""

    def __init__(self, app: Any, sockets: list[socket.socket], **options: Any) -> None:
        defaults: dict[str, Any] = {"log_config": None, "access_log": False, "server_header": False}
        self._server = _Server(uvicorn.Config(app, **(defaults | options)))
        self._sockets = sockets
        self._task: asyncio.Task[None] | None = None

    @property
    def server(self) -> uvicorn.Server:
        return self._server

    @property
    def address(self) -> Address:
        """Where it listens, with the port that the system chose where none was given."""
        return Address(*self._sockets[0].getsockname()[:2])

    async def start(self) -> None:
        """Returns when requests are answered; raises what kept it from starting, and is stopped then."""
        self._task = asyncio.create_task(self._server.serve(sockets=self._sockets), name="http server")
        try:
            while not self._server.started:
                if self._task.done():
                    await self._task
                await asyncio.sleep(0.005)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Lets running requests end, for as long as uvicorn's timeout_graceful_shutdown says."""
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.wait((self._task,))
        for sock in self._sockets:
            sock.close()
