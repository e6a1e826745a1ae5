"""Who is known goes first: what strangers want done waits at a turnstile that lets a few through in each turn of the
event loop.

A loop serves all that is ready before it looks again, so five hundred who connect together would keep everybody else
waiting for five hundred handshakes. Here those that nobody knows yet stand in lines, one for each source, and the lines
take turns: who comes five hundred times waits for himself.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Hashable

#: let through in a turn. Each takes a few tenths of a millisecond, and a turn that does nothing else costs a tenth
#: of that.
A_TURN = 2
#: bytes that all who wait have brought together
MOST_BYTES = 32 << 20


def _next_turn(do: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_soon(do)


class Turnstile:
    """`later` has something done in the next turn, when those who are known have been served. One that nobody waits
    at stops nobody."""

    def __init__(self, later: Callable[[Callable[[], None]], None] = _next_turn) -> None:
        self._later = later
        #: by source, those that wait and their bytes; the first line is the next to move
        self._lines: dict[Hashable, deque[tuple[Callable[[], None], int]]] = {}
        self._waiting = self._bytes = 0
        self._left = A_TURN
        self._is_armed = False

    def __len__(self) -> int:
        """How many wait."""
        return self._waiting

    def enter(self, source: Hashable, go: Callable[[], None], size: int = 0) -> bool:
        """Calls `go` at once or in a turn to come. `size` is how many bytes it keeps meanwhile; False where there is
        no room for them, and it will not be called."""
        if self._left and not self._lines:
            self._pass(go)
            return True
        if self._bytes + size > MOST_BYTES:
            return False
        self._lines.setdefault(source, deque()).append((go, size))
        self._waiting += 1
        self._bytes += size
        return True

    async def wait(self, source: Hashable) -> None:
        """Returns when it is the caller's turn."""
        if self._left and not self._lines:
            self._pass(lambda: None)
            return
        mine = asyncio.get_running_loop().create_future()
        self.enter(source, lambda: None if mine.done() else mine.set_result(None))
        await mine

    def _pass(self, go: Callable[[], None]) -> None:
        self._left -= 1
        if not self._is_armed:
            self._is_armed = True
            self._later(self._turn)
        go()

    def _turn(self) -> None:
        """Another turn: the first of each line, as many as may."""
        self._left, self._is_armed = A_TURN, False
        while self._left and self._lines:
            source, line = next(iter(self._lines.items()))
            go, size = line.popleft()
            del self._lines[source]
            if line:
                self._lines[source] = line
            self._waiting -= 1
            self._bytes -= size
            self._pass(go)
