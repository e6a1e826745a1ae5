import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fairlead.datagram import Address
from fairlead_cli.up import readiness
from fairlead_cli.up.readiness import reasons_not_ready


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[Address]:
    """A server that says this to everybody."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        assert request.startswith(b"GET /readyz HTTP/1.0\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Address(*server.sockets[0].getsockname())
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("answer", "reasons"),
    [
        (b'HTTP/1.1 200 OK\r\n\r\n{"ready": true, "reasons": []}', []),
        (b'HTTP/1.1 503 No\r\n\r\n{"reasons": ["starting", "no answer"]}', ["starting", "no answer"]),
        (b"HTTP/1.1 404 Not Found\r\n\r\nnothing here", ["http://{}/readyz answers 404"]),
        (b'HTTP/1.1 503 No\r\n\r\n{"reasons": []}', ["http://{}/readyz answers 503"]),
        (b"HTTP/1.1 503 No\r\n\r\n[1]", ["http://{}/readyz answers 503"]),
        (b"", ["http://{}/readyz answers nothing"]),
    ],
)
async def test_what_an_ops_port_says(answer: bytes, reasons: list[str]) -> None:
    async with answering(answer) as ops:
        assert list(await reasons_not_ready(ops)) == [reason.replace("{}", str(ops)) for reason in reasons]


async def test_nobody_is_there() -> None:
    async with answering(b"") as ops:
        pass
    (reason,) = await reasons_not_ready(ops)
    assert reason.startswith(f"http://{ops}/readyz cannot be reached (")


async def test_somebody_is_there_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        ops = Address(*mute.getsockname())
        assert await reasons_not_ready(ops) == (f"http://{ops}/readyz does not answer within 0.05 s",)
