"""A lull between two turns of a busy event loop, in which frames gather.

To wake up for a frame costs more than to relay it: the kernel has to bring the process back and, for each frame that it
sends on, its receiver. A network card has the same trouble with its interrupts, and the same remedy: while much comes,
several share one. What comes when little does is never kept waiting, since there is no lull then.
"""

#: seconds from the beginning of a turn with frames to the beginning of the next, while frames come fast
SPAN = 0.0007
#: seconds over which it is seen how fast they come
_WINDOW = 0.02
#: parcels a second: two of them in each span. Fewer would wake us as often as they do without a lull.
BUSY = 2 / SPAN


class Lull:
    """When a loop pauses, and for how long. Moments are seconds of one monotonic clock; pure."""

    __slots__ = ("_begun", "_is_busy", "_since", "count", "is_open")

    def __init__(self) -> None:
        self._since = 0.0
        #: parcels since then
        self.count = 0
        self._is_busy = False
        self._begun = 0.0  # the first parcel of this turn, while it `is_open`
        #: whether `rest` is to be asked; until then it is enough to count the parcels
        self.is_open = False

    def heard(self, now: float) -> bool:
        """A parcel has come while it was not open; True when a turn begins with it after which `rest` is to be
        asked."""
        self.count += 1
        elapsed = now - self._since
        if elapsed >= _WINDOW:
            self._is_busy = self.count >= BUSY * elapsed
            self._since, self.count = now, 0
        if self._is_busy:
            self._begun, self.is_open = now, True
        return self._is_busy

    def rest(self, now: float) -> float:
        """Seconds to wait at the end of the turn: none after one that took as long as a lull, since what has come
        meanwhile is enough."""
        self.is_open = False
        return max(0.0, self._begun + SPAN - now)
