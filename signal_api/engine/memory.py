"""Rooms in the memory of the one process there is."""

import bisect
from collections.abc import Callable, Sequence

from signal_api.engine.contract import AtHand, Census, Once, Stored, Vault
from signal_api.protocol.effects import Effect, Revoked
from signal_api.protocol.revocations import Revocation
from signal_api.protocol.rooms import Room
from signal_api.relay.ledger import Ledger, Spending, Spent
from signal_api.relay.reports import Report, Reports
from signal_api.timers import Clock

#: commits between two looks for rooms that may be forgotten
_SWEEP = 256
_NOBODY = Stored(None, 0)


class MemoryEngine:
    """The engine of one process; raises ValueError for more `workers`, which would each have rooms of their own.

    Revocations are the hub's to remember: it lives as long as this does.
    """

    def __init__(self, clock: Clock, workers: int = 1) -> None:
        if workers != 1:
            raise ValueError(f"{workers} workers cannot share rooms in memory; run one")
        self._clock = clock
        self._rooms: dict[str, Stored] = {}
        self._ledger = Ledger()
        self._reports = Reports()
        self._versions = 0
        self._open = 0
        self._members = 0
        self.deliver: Callable[[Effect], None] = lambda _: None
        self.at_hand: AtHand | None = self

    @property
    def vault(self) -> Vault | None:
        return None

    async def start(self) -> None:
        pass

    def retire(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    def subscribe(self, deliver: Callable[[Effect], None]) -> None:
        self.deliver = deliver

    async def load(self, name: str) -> Stored:
        return self._stored(name)

    async def rooms(self, after: str, most: int) -> list[Room]:
        self._forget()
        names = sorted(self._rooms)
        first = bisect.bisect_right(names, after)
        found = (self._rooms[name].room for name in names[first : first + most])
        return [room for room in found if room is not None]

    async def commit(self, name: str, version: int, room: Room | None, effects: Sequence[Effect]) -> bool:
        before = self._stored(name)
        if before.version != version:
            return False
        self._open += _is_open(room) - _is_open(before.room)
        self._members += _size(room) - _size(before.room)
        if room is None:
            self._rooms.pop(name, None)
        else:
            # One counter for all rooms, so that a room that is made anew never has a version of its predecessor.
            self._versions += 1
            self._rooms[name] = Stored(room, self._versions)
            if self._versions % _SWEEP == 0:
                self._forget()
        await self.publish(effects)
        return True

    async def publish(self, effects: Sequence[Effect], once: Once | None = None) -> None:
        """A session remembers its frames for as long as this remembers anything."""
        for effect in effects:
            self.deliver(effect)

    def room(self, name: str) -> Room | None:
        return self._rooms.get(name, _NOBODY).room

    async def revoke(self, revocation: Revocation) -> None:
        self.deliver(Revoked(revocation))

    async def spend(self, spendings: Sequence[Spending]) -> list[Spent]:
        return [self._ledger.spend(spending) for spending in spendings]

    async def report(
        self, turn_user: str, report: Report, once: Once | None = None, effects: Sequence[Effect] = ()
    ) -> bool:
        self._reports.note(turn_user, report)
        await self.publish(effects)
        return True

    async def reports(self, turn_users: Sequence[str]) -> list[Sequence[Report]]:
        return [self._reports.of(turn_user) for turn_user in turn_users]

    def census(self) -> Census:
        return Census(self._open, self._members)

    def troubles(self) -> Sequence[str]:
        return ()

    def _stored(self, name: str) -> Stored:
        return self._rooms.get(name, _NOBODY)

    def _forget(self) -> None:
        """Drops what is only a memory of bans that are over."""
        now = self._clock.now().wall
        over = [name for name, stored in self._rooms.items() if stored.room is not None and _is_over(stored.room, now)]
        for name in over:
            del self._rooms[name]


def _is_over(room: Room, now: float) -> bool:
    return room.until is not None and room.until <= now


def _is_open(room: Room | None) -> bool:
    return room is not None and room.is_open


def _size(room: Room | None) -> int:
    return len(room.members) if room is not None else 0
