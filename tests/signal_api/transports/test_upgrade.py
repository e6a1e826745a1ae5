"""A real uvicorn, and an app that goes on with its connections by itself."""

import asyncio
import base64
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import pytest
from websockets.frames import Frame, Opcode

from fairlead.daemon import HttpServer
from signal_api.transports.upgrade import MESSAGES, TAKE_OVER, Successor, Upgrade
from signal_api.web.asgi import App, Receive, Scope, Send
from tests.waiting import eventually


class Parrot(Successor):
    """Sends back what it is sent, before anybody reads frames."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def shutdown(self) -> None:
        self.transport.close()


class Nest:
    """An app that hands its connections over, where it can, and says which way each went."""

    def __init__(self) -> None:
        self.ways: asyncio.Queue[str] = asyncio.Queue()
        self.parrots: list[Parrot] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "websocket"
        await receive()
        if scope["path"] == "/no":
            await send({"type": "websocket.close"})
            return
        take_over = scope["extensions"][TAKE_OVER]
        parrot = Parrot()
        assert not take_over(parrot), "nothing is accepted yet"
        message = None
        if scope["path"] == "/early":
            self.ways.put_nowait("waits")
            message = await receive()
        await send({"type": "websocket.accept"})
        if take_over(parrot):
            self.parrots.append(parrot)
            self.ways.put_nowait("taken")
            return
        self.ways.put_nowait("left")
        while message is None or message["type"] == "websocket.receive":
            if message is not None:
                await send({"type": "websocket.send", "text": message["text"].upper()})
            message = await receive()


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[App], "asyncio.Future[HttpServer]"]]:
    servers: list[HttpServer] = []

    async def start(app: App) -> HttpServer:
        sock = socket.create_server(("127.0.0.1", 0))
        server = HttpServer(app, [sock], ws=Upgrade, lifespan="off", ws_per_message_deflate=False)
        await server.start()
        servers.append(server)
        return server

    yield lambda app: asyncio.ensure_future(start(app))
    for server in servers:
        await server.stop()


Serve = Callable[[App], "asyncio.Future[HttpServer]"]


async def test_the_connection_goes_on_after_the_app_has_returned(serve: Serve) -> None:
    nest = Nest()
    server = await serve(nest)
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(_request("/"))
    assert b"101" in await reader.readuntil(b"\r\n\r\n")
    assert await nest.ways.get() == "taken"
    for data in (b"one", b"two"):
        writer.write(data)
        assert await reader.readexactly(3) == data
    connections: set[object] = set(server.server.server_state.connections)
    assert connections == set(nest.parrots), "it counts while it lasts"
    writer.close()
    await writer.wait_closed()
    await eventually(lambda: not server.server.server_state.connections)


async def test_uvicorn_ends_what_was_taken_over_when_it_stops(serve: Serve) -> None:
    nest = Nest()
    server = await serve(nest)
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(_request("/"))
    await reader.readuntil(b"\r\n\r\n")
    await nest.ways.get()
    await server.stop()
    assert await reader.read() == b""
    writer.close()


async def test_who_spoke_before_it_was_accepted_is_left_to_uvicorn(serve: Serve) -> None:
    nest = Nest()
    server = await serve(nest)
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(_request("/early"))
    assert await nest.ways.get() == "waits"
    writer.write(Frame(Opcode.TEXT, b"hello").serialize(mask=True))
    assert b"101" in await reader.readuntil(b"\r\n\r\n")
    assert await nest.ways.get() == "left"
    assert await reader.readexactly(7) == b"\x81\x05HELLO"
    writer.close()


@pytest.mark.parametrize("frame", [b"\x89\x80\0\0\0\0", b"\x8a\x80\0\0\0\0", b"\0\x80\0\0\0\0"])
async def test_frames_that_are_no_messages_are_few_there_as_well(serve: Serve, frame: bytes) -> None:
    nest = Nest()
    server = await serve(nest)
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(_request("/early"))
    assert await nest.ways.get() == "waits"
    writer.write(Frame(Opcode.TEXT, b"hello").serialize(mask=True))
    await reader.readuntil(b"\x81\x05HELLO")
    writer.write(Frame(Opcode.TEXT, b"h", fin=False).serialize(mask=True) + frame * 100)
    writer.write(Frame(Opcode.CONT, b"o").serialize(mask=True))
    await reader.readuntil(b"\x81\x02HO")
    writer.write(Frame(Opcode.TEXT, b"h", fin=False).serialize(mask=True) + frame * 10000)
    assert b"\x03\xf0too many frames that are no messages" in await _rest(reader)
    writer.close()


class _Census:
    """An app that counts what it is told in each turn of the loop."""

    def __init__(self) -> None:
        self.told = [0]
        self.is_over = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        self._turn()
        while (await receive())["type"] == "websocket.receive":
            self.told[-1] += 1
        self.is_over = True

    def _turn(self) -> None:
        if not self.is_over:
            self.told.append(0)
            asyncio.get_running_loop().call_soon(self._turn)


async def test_what_comes_at_once_is_heard_in_several_turns(serve: Serve) -> None:
    """A parcel of a quarter of a megabyte holds ten thousand messages; the others are heard in between."""
    census, many = _Census(), 10_000
    server = await serve(census)
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(_request("/"))
    await reader.readuntil(b"\r\n\r\n")
    writer.write(Frame(Opcode.TEXT, b'{"type":"HEARTBEAT"}').serialize(mask=True) * many)
    await eventually(lambda: sum(census.told) == many)
    assert max(census.told) <= 2 * MESSAGES
    writer.write(Frame(Opcode.TEXT, b"x" * 10000).serialize(mask=True))
    await eventually(lambda: sum(census.told) == many + 1)
    writer.close()
    await eventually(lambda: not server.server.server_state.connections)


async def test_who_goes_in_the_middle_of_it_is_gone(serve: Serve) -> None:
    census = _Census()
    server = await serve(census)
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(_request("/"))
    await reader.readuntil(b"\r\n\r\n")
    writer.write(Frame(Opcode.TEXT, b"{}").serialize(mask=True) * 1000 + b"\xff" * 200_000)
    await eventually(lambda: not server.server.server_state.connections)
    await eventually(lambda: census.is_over)
    assert 0 < sum(census.told) < 1000
    writer.close()


async def _rest(reader: asyncio.StreamReader) -> bytes:
    """All that there is until the end, which is rude where something of ours was still on its way."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := await reader.read(65536):
            parts.append(part)
    return b"".join(parts)


async def test_a_refusal_is_as_ever(serve: Serve) -> None:
    server = await serve(Nest())
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(_request("/no"))
    assert b" 403 " in await reader.readline()
    writer.close()


@pytest.mark.parametrize(
    ("request_line", "header", "status"),
    [
        (f"GET /?{'x' * 9000} HTTP/1.1", "", b" 414 "),
        ("GET / HTTP/1.1", "X-A: " + "x" * 9000, b" 431 "),
        ("GET / HTTP/1.1", "\r\n".join(f"X-{number}: 1" for number in range(200)), b" 431 "),
        ("POST / HTTP/1.1", "", b" 405 "),
        ("GET / HTTP/1.1", "Content-Length: 1", b" 400 "),
    ],
)
async def test_a_handshake_that_the_library_cannot_read_is_answered(
    serve: Serve, request_line: str, header: str, status: bytes
) -> None:
    """Or else it would be waited for, for ever, and be counted for nobody."""
    server = await serve(Nest())
    reader, writer = await asyncio.open_connection(*server.address)
    lines = _request("/").decode().split("\r\n")
    writer.write("\r\n".join([request_line, *([header] if header else []), *lines[1:]]).encode())
    async with asyncio.timeout(20):
        assert status in await reader.readline()
        await _rest(reader)
    await eventually(lambda: not server.server.server_state.connections)
    writer.close()


def _request(path: str) -> bytes:
    key = base64.b64encode(bytes(16)).decode()
    head = ["Host: x", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}"]
    return "\r\n".join([f"GET {path} HTTP/1.1", *head, "Sec-WebSocket-Version: 13", "", ""]).encode()
