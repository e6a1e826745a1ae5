"""Deadlines on a clock that is handed in: one heap, one timer of the event loop."""

import asyncio
import heapq
import itertools
import math
from collections.abc import Callable
from typing import Protocol

from fairlead.clock import Now

#: cancelled timers that are not worth looking for
_FEW = 1024
#: callbacks in one turn of the event loop, when more are due: those who came together go together
A_TURN = 16


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> Now: ...

    def monotonic(self) -> float:
        """That of `now`, for what is asked with every frame."""
        ...


class Timer:
    """A callback that is due at `when` (monotonic seconds), unless it is cancelled before."""

    __slots__ = ("_timers", "callback", "when")

    def __init__(self, timers: "Timers", when: float, callback: Callable[[], None]) -> None:
        self._timers = timers
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        if self.callback is not None:
            self.callback = None
            self._timers.cancelled()


class Timers:
    """Runs callbacks when they are due; needs a running event loop once something is scheduled."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._armed: asyncio.TimerHandle | None = None
        self._armed_for = 0.0
        self._idle = 0  # cancelled timers that the heap still holds, about

    def __len__(self) -> int:
        """What the heap holds, cancelled ones among it."""
        return len(self._heap)

    def after(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Schedules a callback `delay` seconds from now."""
        when = self.clock.monotonic() + delay
        timer = Timer(self, when, callback)
        heapq.heappush(self._heap, (when, next(self._order), timer))
        if self._armed is None or when < self._armed_for:
            self._arm()
        return timer

    def run_due(self, most: float = math.inf) -> None:
        """Runs what is due by the clock, and so many callbacks at most; for whoever moves the clock."""
        now = self.clock.monotonic()
        while most > 0 and self._heap and self._heap[0][0] <= now:
            callback = heapq.heappop(self._heap)[2].callback
            if callback is not None:
                most -= 1
                callback()
        self._arm()

    def cancelled(self) -> None:
        """A timer was cancelled. Those of the far future would stay long after their owner: most of the heap is never
        of that kind."""
        self._idle += 1
        if self._idle > _FEW and self._idle > len(self._heap) // 2:
            self._heap = [row for row in self._heap if row[2].callback is not None]
            heapq.heapify(self._heap)
            self._idle = 0

    def close(self) -> None:
        """Forgets everything."""
        self._heap.clear()
        self._arm()

    def _arm(self) -> None:
        while self._heap and self._heap[0][2].callback is None:
            heapq.heappop(self._heap)
        due = self._heap[0][0] if self._heap else None
        if self._armed is not None and (due is None or due != self._armed_for):
            self._armed.cancel()
            self._armed = None
        if due is not None and self._armed is None:
            wait = max(0.0, due - self.clock.monotonic())
            self._armed_for = due
            self._armed = asyncio.get_running_loop().call_later(wait, self._fire)

    def _fire(self) -> None:
        self._armed = None
        self.run_due(A_TURN)
