"""Work that is asked for twice is done once."""

import asyncio

import pytest

from signal_api.web import idempotency
from signal_api.web.idempotency import Repeats, read_key
from signal_api.web.problems import RefusedError
from tests.signal_api.worlds import ManualClock


class Work:
    """Counts how often it is done."""

    def __init__(self) -> None:
        self.done = 0
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def __call__(self) -> int:
        self.done += 1
        await self.may_end.wait()
        return self.done


async def test_the_first_answer_is_given_again_for_a_while() -> None:
    clock, work = ManualClock(), Work()
    repeats: Repeats[int] = Repeats(clock)
    assert [await repeats.once(("a", "k"), b"x", work) for _ in range(3)] == [1, 1, 1]
    assert await repeats.once(("b", "k"), b"x", work) == 2
    clock.move(121)
    assert await repeats.once(("a", "k"), b"x", work) == 3


async def test_another_request_under_the_same_key_is_refused() -> None:
    repeats: Repeats[int] = Repeats(ManualClock())
    await repeats.once(("a",), b"x", Work())
    with pytest.raises(RefusedError, match="another request"):
        await repeats.once(("a",), b"y", Work())


async def test_who_repeats_meanwhile_waits_for_the_first() -> None:
    repeats, work = Repeats[int](ManualClock()), Work()
    work.may_end.clear()
    tries = [asyncio.ensure_future(repeats.once(("a",), b"x", work)) for _ in range(3)]
    await asyncio.sleep(0)
    work.may_end.set()
    assert await asyncio.gather(*tries) == [1, 1, 1]


async def test_what_failed_or_was_broken_off_may_be_tried_again() -> None:
    repeats, work = Repeats[int](ManualClock()), Work()

    async def fail() -> int:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        await repeats.once(("a",), b"x", fail)
    work.may_end.clear()
    first = asyncio.ensure_future(repeats.once(("a",), b"x", work))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(repeats.once(("a",), b"x", work))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(RefusedError, match="broken off"):
        await second
    work.may_end.set()
    assert await repeats.once(("a",), b"x", work) == 2


async def test_memory_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "MOST", 2)
    repeats, work = Repeats[int](ManualClock()), Work()
    for name in "abc":
        await repeats.once((name,), b"", work)
    assert await repeats.once(("c",), b"", work) == 3
    assert await repeats.once(("a",), b"", work) == 4


async def test_what_is_being_done_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "MOST", 2)
    clock, slow, work = ManualClock(), Work(), Work()
    repeats = Repeats[int](clock)
    slow.may_end.clear()
    first = asyncio.ensure_future(repeats.once(("slow",), b"", slow))
    await asyncio.sleep(0)
    for name in "abc":
        await repeats.once((name,), b"", work)
    clock.move(121)
    second = asyncio.ensure_future(repeats.once(("slow",), b"", slow))
    await asyncio.sleep(0)
    slow.may_end.set()
    assert [await first, await second] == [1, 1]
    assert await repeats.once(("a",), b"", work) == 4


@pytest.mark.parametrize("header", ["", "short", "x" * 129, "sixteen\tcharacters"])
def test_keys_have_a_form(header: str) -> None:
    with pytest.raises(RefusedError):
        read_key(header, shortest=16)


def test_no_key_is_no_key() -> None:
    assert read_key(None) is None
    assert read_key("k") == "k"
