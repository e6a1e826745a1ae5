import asyncio
import io
import signal
import socket
from typing import Any

import httpx
import pytest

from fairlead.config import LogSettings
from fairlead.daemon import HttpServer
from fairlead.listeners import bind, parse_listener
from fairlead.log import configure
from tests.fairlead.daemon.recording import NO_TLS


async def hello(scope: dict[str, Any], receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


def listening() -> list[socket.socket]:
    return bind(parse_listener("tcp://127.0.0.1:0"), ("signal_api", "listen"))


async def test_it_serves_until_it_is_stopped_and_leaves_signals_alone() -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    server = HttpServer(hello, listening(), lifespan="off")
    await server.start()
    assert handlers == {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    async with httpx.AsyncClient(base_url=f"http://{server.address}", verify=NO_TLS) as client:
        response = await client.get("/")
        assert response.text == "hello"
        assert "server" not in response.headers
        address = server.address
        await server.stop()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(address):
        pass


async def test_two_in_one_loop() -> None:
    servers = [HttpServer(hello, listening(), lifespan="off") for _ in range(2)]
    async with httpx.AsyncClient(verify=NO_TLS) as client:
        for server in servers:
            await server.start()
        for server in servers:
            assert (await client.get(f"http://{server.address}")).text == "hello"
    for server in servers:
        await server.stop()


async def test_one_that_was_not_started_can_be_stopped() -> None:
    sockets = listening()
    await HttpServer(hello, sockets).stop()
    assert sockets[0].fileno() == -1


@pytest.mark.logs_error("the app says no")
@pytest.mark.logs_error("Application startup failed")
async def test_an_app_that_cannot_start_is_no_server() -> None:
    async def broken(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "the app says no"})

    server = HttpServer(broken, listening(), lifespan="on")
    with pytest.raises(RuntimeError, match="the app could not start"):
        await server.start()
    await server.stop()


@pytest.mark.parametrize(
    "asked",
    [
        b"GET / HTTP/1.1\r\nContent-Length: -4\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ],
    ids=["unreadable", "upgrade"],
)
async def test_a_hundred_bad_requests_are_one_line(asked: bytes) -> None:
    target = io.StringIO()
    configure(LogSettings(format="json"), target)
    server = HttpServer(hello, listening(), lifespan="off", http="h11", ws="none")
    await server.start()
    for _ in range(100):
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(asked.replace(b"\r\n", b"\r\nHost: a\r\nConnection: close\r\n", 1))
        writer.write_eof()
        assert await reader.read()
        writer.close()
    await server.stop()
    assert len(target.getvalue().splitlines()) == 1
