"""A real uvicorn, and an app that goes on with its connections by itself."""

import asyncio
import base64
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Callable

import pytest
from websockets.frames import Frame, Opcode

from fairlead.daemon import HttpServer
from signal_api.transports.upgrade import TAKE_OVER, Successor, Upgrade
from signal_api.web.asgi import App, Receive, Scope, Send
from tests.signal_api.service import Service
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


async def test_an_app_that_speaks_to_who_was_ended_hears_that_it_is_gone(serve: Serve) -> None:
    """It may not know yet: neither it nor uvicorn calls that an error of the server."""
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        for kind in ("send", "close"):
            with pytest.raises(OSError):
                await send({"type": f"websocket.{kind}", "text": "hello"})
            heard.put_nowait(kind)

    server = await serve(app)
    reader, writer = await asyncio.open_connection(*server.address)
    writer.write(_request("/"))
    await reader.readuntil(b"\r\n\r\n")
    writer.write(Frame(Opcode.PONG, b"").serialize(mask=True) * 200)
    assert [await heard.get() for _ in range(2)] == ["send", "close"]
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


def _request(path: str) -> bytes:
    key = base64.b64encode(bytes(16)).decode()
    head = ["Host: x", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}"]
    return "\r\n".join([f"GET {path} HTTP/1.1", *head, "Sec-WebSocket-Version: 13", "", ""]).encode()


def _from_page(service: Service, more: str = "") -> str:
    """A handshake that a page of the service sends, as far as the service goes by it."""
    head = _request("/v1/ws").decode().replace("Host: x", f"Host: {service.authority}")[:-2]
    return f"{head}Origin: http://{service.authority}\r\nSec-WebSocket-Protocol: sig.v1\r\n{more}\r\n"


async def _answers(service: Service, *parcels: str) -> tuple[bytes, asyncio.StreamWriter]:
    """The head of the reply to what comes in these parcels."""
    host, _, port = service.authority.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for parcel in parcels:
        writer.write(parcel.encode())
        await asyncio.sleep(0.05)  # The kernel would deliver them together.
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
    return re.sub(rb"date: [^\r]*", b"date:", head), writer


@pytest.mark.parametrize("more", ["", "X-Forwarded-For: 198.51.100.1\r\n"])
async def test_a_handshake_in_one_parcel_is_answered_as_one_in_two(more: str) -> None:
    async with Service(trusted_proxies=["127.0.0.1"]) as service:
        await service.start()
        request = _from_page(service, more)
        at_once, first = await _answers(service, request)
        in_two, second = await _answers(service, request[:50], request[50:])
        assert at_once == in_two
        assert at_once.startswith(b"HTTP/1.1 101 ")
        assert b"\r\nSec-WebSocket-Protocol: sig.v1\r\n" in at_once
        assert len(service.doorstep) == 0
        for writer in (first, second):
            writer.close()


async def test_who_is_refused_at_once_is_judged_once() -> None:
    async with Service() as service:
        await service.start()
        while not service.hub.may_connect(b"\x7f\0\0\x01"):
            pass
        at_once, first = await _answers(service, _from_page(service))
        in_two, second = await _answers(service, "GET", _from_page(service)[3:])
        assert at_once == in_two
        assert at_once.startswith(b"HTTP/1.1 429 ")
        assert service.instruments.rate_limited["connects",] == 2
        for writer in (first, second):
            writer.close()


async def test_a_page_of_elsewhere_is_refused_as_ever() -> None:
    async with Service() as service:
        await service.start()
        request = _from_page(service).replace(f"Origin: http://{service.authority}", "Origin: http://elsewhere.example")
        at_once, first = await _answers(service, request)
        in_two, second = await _answers(service, request[:50], request[50:])
        assert at_once == in_two
        assert at_once.startswith(b"HTTP/1.1 403 ")
        assert service.instruments.origins_refused["origin",] == 2
        for writer in (first, second):
            writer.close()
