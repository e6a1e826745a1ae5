"""Names that are refused before their time: usernames and user ids, each until a moment of its own."""

import heapq
import itertools

from fairlead.clock import Now


class Revocations:
    """At most `size` names. One more makes room by forgetting the one that would be forgotten next anyway; of those
    that end together, as those do that never end, the one that was refused first."""

    def __init__(self, size: int = 65536) -> None:
        self._size = size
        self._until: dict[str, float] = {}
        self._order: list[tuple[float, int, str]] = []
        #: The living row of each name: one that was refused again has left older ones behind.
        self._rows: dict[str, int] = {}
        self._serials = itertools.count()

    def __len__(self) -> int:
        return len(self._until)

    def add(self, name: str, until: float) -> None:
        """Refuses the name until this Unix time, or longer where it already was."""
        if until < self._until.get(name, float("-inf")):
            return
        self._until[name] = until
        self._rows[name] = next(self._serials)
        heapq.heappush(self._order, (until, self._rows[name], name))
        if len(self._until) > self._size:
            self._forget_first()
        if len(self._order) > 2 * self._size:
            self._order = [row for row in self._order if self._rows.get(row[2]) == row[1]]
            heapq.heapify(self._order)

    def covers(self, name: str, now: Now) -> bool:
        """Whether the name is refused at this time."""
        return name in self._until and now.wall < self._until[name]

    def until(self, name: str) -> float:
        """Until when the name is refused, minus infinity for one that is not."""
        return self._until.get(name, float("-inf"))

    def _forget_first(self) -> None:
        _, serial, name = heapq.heappop(self._order)
        while self._rows.get(name) != serial:
            _, serial, name = heapq.heappop(self._order)
        del self._until[name], self._rows[name]
