"""Rooms in the memory of the one process there is."""

from collections.abc import Callable, Sequence

from signal_api.engine.contract import Census, Stored
from signal_api.rooms import Effect, Room


class MemoryEngine:
    """The engine of one process; raises ValueError for more `workers`, which would each have rooms of their own."""

    def __init__(self, workers: int = 1) -> None:
        if workers != 1:
            raise ValueError(f"{workers} workers cannot share rooms in memory; run one")
        self._rooms: dict[str, Stored] = {}
        self._versions = 0
        self._members = 0
        self._deliver: Callable[[Effect], None] = lambda _: None

    def subscribe(self, deliver: Callable[[Effect], None]) -> None:
        self._deliver = deliver

    async def load(self, name: str) -> Stored:
        return self._stored(name)

    async def commit(self, name: str, version: int, room: Room | None, effects: Sequence[Effect]) -> bool:
        before = self._stored(name)
        if before.version != version:
            return False
        self._members += _size(room) - _size(before.room)
        if room is None:
            self._rooms.pop(name, None)
        else:
            # One counter for all rooms, so that a room that is made anew never has a version of its predecessor.
            self._versions += 1
            self._rooms[name] = Stored(room, self._versions)
        await self.publish(effects)
        return True

    async def publish(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            self._deliver(effect)

    def census(self) -> Census:
        return Census(len(self._rooms), self._members)

    def _stored(self, name: str) -> Stored:
        return self._rooms.get(name, Stored(None, 0))


def _size(room: Room | None) -> int:
    return len(room.members) if room is not None else 0
