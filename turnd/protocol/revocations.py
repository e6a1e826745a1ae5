"""Names that are refused before their time: usernames and user ids, each until a moment of its own."""

import heapq

from fairlead.clock import Now


class Revocations:
    """At most `size` names. One more makes room by forgetting the one that would be forgotten next anyway."""

    def __init__(self, size: int = 65536) -> None:
        self._size = size
        self._until: dict[str, float] = {}
        self._order: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._until)

    def add(self, name: str, until: float) -> None:
        """Refuses the name until this Unix time, or longer where it already was."""
        if until <= self._until.get(name, float("-inf")):
            return
        self._until[name] = until
        heapq.heappush(self._order, (until, name))
        if len(self._until) > self._size:
            self._forget_first()
        if len(self._order) > 2 * self._size:
            self._order = [(until, name) for name, until in self._until.items()]
            heapq.heapify(self._order)

    def covers(self, name: str, now: Now) -> bool:
        """Whether the name is refused at this time."""
        return name in self._until and now.wall < self._until[name]

    def until(self, name: str) -> float:
        """Until when the name is refused, minus infinity for one that is not."""
        return self._until.get(name, float("-inf"))

    def _forget_first(self) -> None:
        until, name = heapq.heappop(self._order)
        # A name that was prolonged has left an older row behind.
        while self._until.get(name) != until:
            until, name = heapq.heappop(self._order)
        del self._until[name]
