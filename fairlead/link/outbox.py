"""What waits to be written: bounded, and what a later message makes needless is given up first."""

from collections import deque

from fairlead.link.messages import Message, Usage


class Outbox:
    """A queue of at most `limit` messages; its owner never waits. `dropped` counts what there was no room for."""

    def __init__(self, limit: int) -> None:
        self.dropped = 0
        self._limit = limit
        self._waiting: deque[Message] = deque()
        self._needless = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: Message) -> None:
        """Appends; a full queue loses its oldest usage event, or without one its oldest message."""
        if len(self._waiting) >= self._limit:
            self._make_room()
        self._waiting.append(message)
        self._needless += isinstance(message, Usage)

    def take(self, most: int) -> list[Message]:
        """The oldest messages, at most so many, in their order."""
        taken = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        self._needless -= sum(isinstance(message, Usage) for message in taken)
        return taken

    def put_back(self, messages: list[Message]) -> None:
        """Returns what was taken and could not be delivered to the front, as far as there is room."""
        for message in reversed(messages):
            if len(self._waiting) >= self._limit:
                self.dropped += 1
            else:
                self._waiting.appendleft(message)
                self._needless += isinstance(message, Usage)

    def _make_room(self) -> None:
        self.dropped += 1
        if not self._needless:
            self._waiting.popleft()
            return
        oldest = next(index for index, message in enumerate(self._waiting) if isinstance(message, Usage))
        del self._waiting[oldest]
        self._needless -= 1
