"""A plain handshake is answered without a task, and to the byte as the libraries answer it."""

import asyncio
import base64
import re
from collections.abc import Callable

import pytest

from signal_api.turnstile import Turnstile
from tests.signal_api.service import Service
from tests.waiting import eventually

_KEY = base64.b64encode(bytes(16)).decode()


def _from_page(service: Service, more: str = "") -> str:
    """A handshake that a page of the service sends, as far as the service goes by it."""
    lines = [
        "GET /v1/ws HTTP/1.1",
        f"Host: {service.authority}",
        f"Origin: http://{service.authority}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {_KEY}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: sig.v1",
    ]
    return "\r\n".join(lines) + f"\r\n{more}\r\n"


async def _answers(service: Service, *parcels: str) -> tuple[bytes, asyncio.StreamWriter]:
    """The head of the reply to what comes in these parcels."""
    host, _, port = service.authority.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for parcel in parcels:
        writer.write(parcel.encode())
        await asyncio.sleep(0.05)  # The kernel would deliver them together.
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
    return re.sub(rb"(?i)date: [^\r]*", b"date:", head), writer


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


async def test_a_head_has_its_time_once_whoever_reads_it() -> None:
    """The wait begins with the connection; that its first words make it HTTP does not begin it anew."""
    async with Service() as service:
        await service.start()
        turns = list[Callable[[], None]]()
        service.hub.turnstile = Turnstile(turns.append)
        host, _, port = service.authority.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        await eventually(lambda: service.doorstep.unfinished()["head",] == 1)
        service.pass_time(6)
        writer.write(b"GET /v1/info HTTP/1.1\r\n")
        await eventually(lambda: len(turns) == 1)  # It was read.
        service.pass_time(4.1)
        async with asyncio.timeout(20):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 408 ")
        writer.close()
        await eventually(lambda: service.doorstep.unfinished() == {("head",): 0, ("body",): 0})
