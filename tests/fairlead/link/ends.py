"""Both ends of a link in one loop, and what each was told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fairlead.link import Allocated, Command, Event, LinkClient, LinkServer
from tests.waiting import eventually

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
        await eventually(lambda: ends.client.connected and ends.server.connected == 1)
        yield ends
    finally:
        await ends.client.stop()
        await ends.server.stop()
