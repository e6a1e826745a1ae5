"""Waiting for what cannot be awaited: what another end, the kernel or a signal is about to bring about."""

import asyncio
from collections.abc import Callable


async def eventually(is_so: Callable[[], object], patience: float = 20) -> None:
    """Lets the loop go on until something is so; raises TimeoutError after so many seconds."""
    async with asyncio.timeout(patience):
        while not is_so():  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.001)
