"""One heap of moments: whatever ends at a time has a row here, and the shell arms one timer for the earliest."""

import heapq
import itertools
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

#: Dead rows are swept out when they outnumber the living ones and this floor.
_FLOOR = 64


class Deadlines(Generic[K]):
    """At most one deadline per key, in seconds of Now.monotonic.

    Moving or clearing a deadline leaves its old row in the heap, dead; the rows never number more than twice the
    living ones plus a constant, so that every operation is O(log n), sweeping included.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, K]] = []
        self._living: dict[K, int] = {}
        self._serials = itertools.count()

    def __len__(self) -> int:
        return len(self._living)

    def __contains__(self, key: K) -> bool:
        return key in self._living

    def set(self, key: K, when: float) -> None:
        """Gives the key its deadline, in place of one that it had."""
        serial = next(self._serials)
        self._living[key] = serial
        heapq.heappush(self._heap, (when, serial, key))
        self._sweep()

    def clear(self, key: K) -> None:
        """Takes the deadline away; without one, does nothing."""
        if self._living.pop(key, None) is not None:
            self._sweep()

    def next(self) -> float | None:
        """The earliest deadline, None when there is none."""
        while self._heap:
            when, serial, key = self._heap[0]
            if self._living.get(key) == serial:
                return when
            heapq.heappop(self._heap)
        return None

    def pop_due(self, moment: float) -> K | None:
        """Takes out and returns the earliest key whose deadline is at or before the moment; ties in the order in
        which they were set. One at a time, since what follows from one may clear the next."""
        when = self.next()
        if when is None or when > moment:
            return None
        key = heapq.heappop(self._heap)[2]
        del self._living[key]
        return key

    def _sweep(self) -> None:
        if len(self._heap) > 2 * len(self._living) + _FLOOR:
            self._heap = [row for row in self._heap if self._living.get(row[2]) == row[1]]
            heapq.heapify(self._heap)
