"""Waiting for what cannot be awaited: what another end, the kernel or a signal is about to bring about, and time."""

import asyncio
from collections.abc import Callable


async def eventually(is_so: Callable[[], object], patience: float = 60) -> None:
    """Lets the loop go on until something is so; raises TimeoutError after so many seconds."""
    async with asyncio.timeout(patience):
        while not is_so():  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.001)


def leap(seconds: float) -> None:
    """The clock of the running loop, which its timers go by, shows so much more from now on. For loops of asyncio's
    own; so that a test of hours takes none, and one of deadlines does not race the machine."""
    loop = asyncio.get_running_loop()
    clock = loop.time
    loop.time = lambda: clock() + seconds  # type: ignore[method-assign]  # the clock is the world's
