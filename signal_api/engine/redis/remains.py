"""What a node that does not answer has left in its stream: read once, for all the sessions that it had."""

import asyncio

from signal_api.engine.redis.parcels import for_session, read_effect
from signal_api.engine.redis.scripts import REMAINS
from signal_api.engine.redis.store import Store
from signal_api.protocol.effects import Effect, Own, Revoked, Tell

#: nodes whose remains are remembered
_NODES = 4


class _Left:
    """Entries of one stream without a gap, from `first` to before `next`."""

    def __init__(self, first: int) -> None:
        self.first = self.next = first
        self.by_session: dict[str, list[tuple[int, Effect]]] = {}
        self.for_all: list[tuple[int, Effect]] = []
        self.reading = asyncio.Lock()


class Remains:
    """Reads the streams of others."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._left: dict[str, _Left] = {}

    async def of(self, node: str, sid: str, user: str | None, first: int, last: int) -> list[Effect] | None:
        """The effects for a session of a user among these entries, in their order; None when some of them are gone."""
        left = self._left.get(node)
        if left is None or first < left.first or first > left.next:
            left = self._left[node] = _Left(first)
            while len(self._left) > _NODES:
                del self._left[next(iter(self._left))]
        async with left.reading:
            while left.next <= last:
                if not await self._read(node, left, last):
                    return None
        found = sorted((*left.by_session.get(sid, ()), *left.for_all), key=_number)
        mine = (for_session(effect, sid, user) for number, effect in found if first <= number <= last)
        return [effect for effect in mine if effect is not None]

    async def _read(self, node: str, left: _Left, last: int) -> bool:
        entries = await self._store.run(REMAINS, node, left.next, last)
        for number, (_, kind, _, a, *_) in entries:
            if int(number.partition(b"-")[0]) != left.next:
                return False
            if kind == b"e":
                effect = read_effect(a)
                if isinstance(effect, Tell | Revoked):
                    left.for_all.append((left.next, effect))
                elif not isinstance(effect, Own):  # whose node does not live any more
                    for sid in effect.to:
                        left.by_session.setdefault(sid, []).append((left.next, effect))
            left.next += 1
        return bool(entries)


def _number(entry: tuple[int, Effect]) -> int:
    return entry[0]
