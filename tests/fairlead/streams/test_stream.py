import asyncio

import pytest

from fairlead.datagram import Transport
from fairlead.reasons import Reason
from fairlead.streams import Stream, StreamSettings
from fairlead.streams.stream import MOST_UNPROVEN
from fairlead.stun.header import LARGEST_REQUEST
from tests.fairlead.streams.echo import CHANNEL_DATA, REQUEST, Echo, connected, serving
from tests.waiting import eventually


async def test_messages_are_framed_whatever_the_segments() -> None:
    echo = Echo()
    async with serving(echo) as (_, address), connected(address) as (reader, writer), asyncio.timeout(20):
        wire = REQUEST + CHANNEL_DATA + REQUEST
        for byte in wire:
            writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        writer.write(wire)
        sent_back = (REQUEST + CHANNEL_DATA[:9] + REQUEST) * 2
        assert await reader.readexactly(len(sent_back)) == sent_back
        assert echo.messages == [REQUEST, CHANNEL_DATA[:9], REQUEST] * 2


async def test_what_begins_no_message_ends_the_stream() -> None:
    echo = Echo()
    async with serving(echo) as (server, address), connected(address) as (reader, writer), asyncio.timeout(20):
        writer.write(REQUEST + b"\xff")
        assert await reader.read() == REQUEST
        await server.emptied()
        assert echo.garbled == [Reason.NOT_STUN]
        assert len(echo.closed) == 1


async def test_a_client_that_only_closes_its_half_still_gets_its_answer() -> None:
    async with serving(Echo()) as (server, address), connected(address) as (reader, writer), asyncio.timeout(20):
        writer.write(REQUEST)
        writer.write_eof()
        assert await reader.read() == REQUEST
        await server.emptied()


async def test_a_slow_reader_fills_a_bounded_buffer_then_loses_what_comes() -> None:
    echo = Echo()
    settings = StreamSettings(write_buffer=8192)
    async with serving(echo, settings) as (_, address), connected(address) as (reader, writer), asyncio.timeout(20):
        writer.write(REQUEST)
        await reader.readexactly(len(REQUEST))
        (stream,) = echo.streams
        outcomes = [stream.send(bytes(4096)) for _ in range(10_000)]
        assert outcomes[0] is None
        assert outcomes[-1] is Reason.SEND_BUFFER
        taken = outcomes.count(None) * 4096
        assert await reader.readexactly(taken) == bytes(taken)
        await eventually(lambda: stream.send(REQUEST) is None)
        assert await reader.readexactly(len(REQUEST)) == REQUEST


async def test_replies_have_room_behind_what_fills_the_buffer_and_end_a_stream_that_has_none_for_them() -> None:
    echo = Echo()
    settings = StreamSettings(write_buffer=8192)
    async with (
        serving(echo, settings) as (server, address),
        connected(address) as (reader, writer),
        asyncio.timeout(20),
    ):
        writer.write(REQUEST)
        await reader.readexactly(len(REQUEST))
        (stream,) = echo.streams
        while stream.send(bytes(4096)) is None:
            pass
        replies = next(number for number in range(1000) if stream.reply(REQUEST) is Reason.SEND_BUFFER)
        assert replies * len(REQUEST) >= 4096
        assert stream.is_open, "whoever asks is in the middle of something"
        await server.emptied()
        assert echo.closed == [stream]
        assert stream.reply(REQUEST) is Reason.UNREACHABLE


async def test_closing_writes_what_was_sent_and_aborting_ends_at_once() -> None:
    echo = Echo()
    async with serving(echo) as (server, address):
        for end in ("close", "abort"):
            async with connected(address) as (reader, writer), asyncio.timeout(20):
                writer.write(REQUEST)
                await reader.readexactly(len(REQUEST))
                stream = echo.streams[-1]
                stream.send(CHANNEL_DATA)
                getattr(stream, end)()
                assert not stream.is_open
                assert stream.send(REQUEST) is Reason.UNREACHABLE
                if end == "close":
                    assert await reader.read() == CHANNEL_DATA
                await server.emptied()
                stream.settle(5)
                assert server.half_open == 0
        assert len(echo.closed) == 2


async def test_a_message_handler_may_end_its_stream() -> None:
    class Once(Echo):
        def message_received(self, stream: Stream, data: bytes) -> None:
            super().message_received(stream, data)
            stream.close()

    echo = Once()
    async with serving(echo) as (server, address), connected(address) as (reader, writer), asyncio.timeout(20):
        writer.write(REQUEST * 3)
        assert await reader.read() == REQUEST
        await server.emptied()
        assert echo.messages == [REQUEST]
        assert echo.streams[0].five_tuple.transport is Transport.TCP


def binding_of(size: int) -> bytes:
    """A Binding request that is so long, a multiple of 4."""
    return (
        b"\x00\x01" + (size - 20).to_bytes(2) + REQUEST[4:20] + b"\x80\x22" + (size - 24).to_bytes(2) + bytes(size - 24)
    )


@pytest.mark.parametrize(
    ("wire", "heard"),
    [
        (binding_of(LARGEST_REQUEST + 4), 0),
        (binding_of(LARGEST_REQUEST) * 9, 8),
        (REQUEST * (MOST_UNPROVEN // len(REQUEST) + 1), MOST_UNPROVEN // len(REQUEST)),
    ],
    ids=["long", "many long", "many short"],
)
async def test_who_has_proved_nothing_has_a_few_short_requests(wire: bytes, heard: int) -> None:
    """Each costs the loop its reading; the stream ends where it says more."""
    echo = Echo(settle=False)
    async with serving(echo) as (server, address), connected(address) as (_, writer), asyncio.timeout(20):
        writer.write(wire)
        await eventually(lambda: bool(echo.closed))
        assert len(echo.messages) <= heard
        assert echo.garbled == [Reason.TOO_LARGE]
        assert server.half_open == 0


async def test_who_has_proved_itself_may_say_long_things() -> None:
    echo, long = Echo(), binding_of(60000)
    async with serving(echo) as (_, address), connected(address) as (reader, writer), asyncio.timeout(20):
        writer.write(REQUEST + long * 2)
        assert await reader.readexactly(20 + 2 * len(long)) == REQUEST + long * 2
