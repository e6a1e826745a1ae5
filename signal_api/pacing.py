"""Doing something to many, one after the other, over a while."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

T = TypeVar("T")

#: a second, unless the window asks for more: whoever takes in what is sent elsewhere has to bear it
_RATE = 200
#: seconds that are slept at least
_STEP = 0.01


async def paced(items: Sequence[T], window: float) -> AsyncIterator[T]:
    """The items, a few at a time, all of them within `window` seconds."""
    pause = min(1 / _RATE, window / max(1, len(items)))
    owed = 0.0
    for item in items:
        yield item
        owed += pause
        if owed >= _STEP:
            await asyncio.sleep(owed)
            owed = 0.0
