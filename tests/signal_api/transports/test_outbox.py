"""The queue of one connection."""

import asyncio

from signal_api.protocol.refusals import CloseCode
from signal_api.transports.outbox import Outbox


async def _read(outbox: Outbox) -> list[bytes]:
    frames = []
    while (frame := await outbox.take()) is not None:
        frames.append(frame)
    return frames


async def test_frames_leave_in_order_and_the_close_comes_last() -> None:
    outbox = Outbox(10, 1000)
    reader = asyncio.create_task(_read(outbox))
    for number in range(3):
        assert outbox.put(b"%d" % number)
        await asyncio.sleep(0)
    assert outbox.close(CloseCode.DRAIN)
    assert outbox.put(b"too late"), "who is closed is not slow"
    assert not outbox.close(CloseCode.REPLACED)
    assert await reader == [b"0", b"1", b"2"]
    assert outbox.closing is CloseCode.DRAIN


async def test_who_does_not_read_is_closed_and_what_waits_is_dropped() -> None:
    outbox = Outbox(2, 1000)
    assert outbox.put(b"a")
    assert outbox.put(b"b")
    assert not outbox.put(b"c")
    assert outbox.closing is CloseCode.SLOW_CONSUMER
    assert await _read(outbox) == []


async def test_bytes_count_too_and_what_was_read_counts_no_more() -> None:
    outbox = Outbox(100, 10)
    reader = asyncio.create_task(_read(outbox))
    for _ in range(5):
        assert outbox.put(b"x" * 10)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert outbox.put(b"x" * 6)
    assert not outbox.put(b"x" * 5)
    assert await reader == [b"x" * 10] * 5


async def test_what_was_missed_comes_first_and_does_not_count() -> None:
    outbox = Outbox(2, 10)
    outbox.put_first([b"x" * 100] * 5)
    assert outbox.put(b"new")
    assert outbox.put(b"news")
    assert not outbox.put(b"slow")
    outbox = Outbox(2, 10)
    outbox.put_first([b"missed"] * 3)
    outbox.put(b"new")
    outbox.close(CloseCode.DRAIN)
    assert await _read(outbox) == [b"missed"] * 3 + [b"new"]
