import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fairlead.link import Draining, LinkError
from fairlead.link import connection as module
from fairlead.link.connection import Connection
from fairlead.link.messages import LONGEST_LINE, VERSION, Hello, Message, encode
from fairlead.link.outbox import Outbox


@asynccontextmanager
async def pair(path: Path) -> AsyncIterator[tuple[Connection, asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection, and the bare stream at its other end."""
    accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    server = await asyncio.start_unix_server(lambda *streams: accepted.put_nowait(streams), path, limit=LONGEST_LINE)
    async with server:
        reader, writer = await asyncio.open_unix_connection(path)
        connection = Connection(*await accepted.get(), Outbox(100))
        try:
            yield connection, reader, writer
        finally:
            writer.close()
            await connection.close()


async def test_each_end_says_who_it_is(tmp_path: Path) -> None:
    async with pair(tmp_path / "s") as (connection, reader, writer):
        writer.write(encode(Hello(VERSION, "signal_api")))
        assert await connection.greet("turnd") == Hello(VERSION, "signal_api")
        assert await reader.readline() == encode(Hello(VERSION, "turnd"))


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        (encode(Draining(1)), "the first line is no hello"),
        (encode(Hello(1, "signal_api")), "signal_api speaks version 1, we speak 2; run the same release"),
        (b"GET / HTTP/1.1\r\n", "no message of this protocol"),
        (b"x" * (LONGEST_LINE + 1) + b"\n", f"a line of more than {LONGEST_LINE} bytes"),
    ],
)
async def test_a_greeting_that_is_none(tmp_path: Path, line: bytes, wrong: str) -> None:
    async with pair(tmp_path / "s") as (connection, _, writer):
        writer.write(line)
        with pytest.raises(LinkError, match=wrong):
            await connection.greet("turnd")


async def test_silence_is_no_greeting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HELLO_SECONDS", 0.05)
    async with pair(tmp_path / "s") as (connection, _, _):
        with pytest.raises(LinkError, match="no hello"):
            await connection.greet("turnd")


async def test_hanging_up_is_no_greeting(tmp_path: Path) -> None:
    async with pair(tmp_path / "s") as (connection, _, writer):
        writer.write_eof()
        with pytest.raises(LinkError, match="the first line is no hello"):
            await connection.greet("turnd")


async def test_messages_both_ways_until_the_other_end_hangs_up(tmp_path: Path) -> None:
    received: list[Message] = []
    async with pair(tmp_path / "s") as (connection, reader, writer):
        running = asyncio.create_task(connection.run(received.append))
        connection.send(Draining(1))
        assert await reader.readline() == encode(Draining(1))
        writer.write(encode(Draining(2)) + encode(Draining(3)))
        writer.close()
        async with asyncio.timeout(20):
            await running
        assert received == [Draining(2), Draining(3)]


async def test_a_line_that_is_no_message_ends_it(tmp_path: Path) -> None:
    async with pair(tmp_path / "s") as (connection, _, writer):
        writer.write(b"nonsense\n")
        with pytest.raises(LinkError):
            await connection.run(lambda message: None)


async def test_a_reader_that_does_not_read_fills_the_outbox_and_no_more(tmp_path: Path) -> None:
    async with pair(tmp_path / "s") as (connection, _, writer):
        running = asyncio.create_task(connection.run(lambda message: None))
        for number in range(50_000):
            connection.send(Draining(number))
            if number % 100 == 0:
                await asyncio.sleep(0)
        assert len(connection.outbox) == 100
        assert connection.outbox.dropped > 10_000
        assert connection._writer.transport.get_write_buffer_size() < 1_000_000
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        writer.transport.abort()
