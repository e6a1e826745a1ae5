"""A back end that takes webhooks: a real HTTP server, which answers as it is told."""

import asyncio
import json
from types import TracebackType
from typing import Any, NamedTuple, Self


class Delivery(NamedTuple):
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        read: dict[str, Any] = json.loads(self.body)
        return read


class Receiver:
    """`async with Receiver(500, 200) as receiver`: the first request is answered 500, all others 200; 0 is no answer
    at all."""

    def __init__(self, *answers: int) -> None:
        self._answers = list(answers or (204,))
        self._server: asyncio.Server | None = None
        self.taken: asyncio.Queue[Delivery] = asyncio.Queue()
        self.url = ""

    async def next(self) -> Delivery:
        return await asyncio.wait_for(self.taken.get(), 20)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/hook"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[1:-2]
        headers = {key.lower(): value for key, _, value in (line.partition(": ") for line in head)}
        body = await reader.readexactly(int(headers["content-length"]))
        code = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        self.taken.put_nowait(Delivery(headers, body))
        if code:
            writer.write(f"HTTP/1.1 {code} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
        writer.close()
