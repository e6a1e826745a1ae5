"""Both ends of a link in one loop, and what each was told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fairlead.link import Allocated, Command, Event, LinkClient, LinkServer

LIVING = Allocated(1, "u", "udp", "192.0.2.1:1", "192.0.2.2:2")


class Ends:
    def __init__(self, path: Path) -> None:
        self.commands: list[Command] = []
        self.events: list[Event] = []
        self.server = LinkServer(path, self.commands.append, lambda: self.living)
        self.standing: list[Command] = []
        self.living: list[Event] = [LIVING]
        self.client = LinkClient(path, self.events.append, lambda: self.standing)


@asynccontextmanager
async def linked(path: Path) -> AsyncIterator[Ends]:
    """Connected, the greeting over."""
    ends = Ends(path)
    await ends.server.start()
    ends.client.start()
    try:
        await until(lambda: ends.client.connected and ends.server.connected == 1)
        yield ends
    finally:
        await ends.client.stop()
        await ends.server.stop()


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what the other end is about to bring about."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # the other end sets no event
            await asyncio.sleep(0.005)
