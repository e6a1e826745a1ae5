"""The pool of relay ports of one address: each port is in exactly one hand, and is drawn by chance.

free     may be taken
used     a relay socket (or a reservation) has it, until release() or foreign()
held     given back a while ago: late packets of its last owner must not reach the next
foreign  another program had it when we tried to bind it (the default range overlaps Linux's ephemeral ports)

free + used + held + foreign is the range, always. Every operation takes constant time, ports that come back in
between counted to those that gave them away.
"""

import enum
from array import array
from collections import deque
from typing import NamedTuple

from fairlead.clock import Entropy, Now

#: Seconds for which a port that somebody else had is left alone.
FOREIGN_SECONDS = 60.0


class _State(enum.IntEnum):
    FREE = 0
    USED = 1
    HELD = 2
    FOREIGN = 3


class Census(NamedTuple):
    """How many ports are in which hand."""

    free: int
    used: int
    held: int
    foreign: int


class _Urn:
    """A set of ports from which one is drawn by chance; adding, removing and drawing take constant time."""

    def __init__(self, first: int, last: int) -> None:
        self._first = first
        self._ports = array("H")
        self._place = array("i", [-1]) * (last - first + 1)

    def __len__(self) -> int:
        return len(self._ports)

    def __contains__(self, port: int) -> bool:
        return self._place[port - self._first] >= 0

    def add(self, port: int) -> None:
        self._place[port - self._first] = len(self._ports)
        self._ports.append(port)

    def discard(self, port: int) -> None:
        place = self._place[port - self._first]
        if place < 0:
            return
        last = self._ports.pop()
        if last != port:
            self._ports[place] = last
            self._place[last - self._first] = place
        self._place[port - self._first] = -1

    def at(self, index: int) -> int:
        return self._ports[index]


def _below(limit: int, entropy: Entropy) -> int:
    """An even choice from 0 to limit - 1: for a limit of 16 bits the bias stays under 2**-48, where a remainder of
    two bytes would prefer half of the ports."""
    return int.from_bytes(entropy(8)) * limit >> 64


class PortPool:
    """Ports `first` to `last`, both included; a released port is held back for `hold_seconds`."""

    def __init__(self, first: int, last: int, hold_seconds: float) -> None:
        if not 0 < first <= last <= 65535:
            raise ValueError(f"{first}-{last} is no range of ports; write the lower one first, both from 1 to 65535")
        self._first, self._last = first, last
        self._hold_seconds = hold_seconds
        self._states = bytearray(last - first + 1)
        self._even = _Urn(first, last)
        self._odd = _Urn(first, last)
        #: Even ports whose next one is free too.
        self._pairs = _Urn(first, last)
        # Each line has one waiting time, so that whoever came first leaves first.
        self._held: deque[tuple[float, int]] = deque()
        self._foreign: deque[tuple[float, int]] = deque()
        for port in range(first, last + 1):
            self._put_back(port)

    def __len__(self) -> int:
        return len(self._states)

    def take(self, entropy: Entropy, now: Now) -> int | None:
        """Any free port; None when there is none."""
        self._return_due(now)
        even, odd = len(self._even), len(self._odd)
        if not even + odd:
            return None
        index = _below(even + odd, entropy)
        return self._use(self._even.at(index) if index < even else self._odd.at(index - even))

    def take_even(self, entropy: Entropy, now: Now, with_next: bool) -> int | None:
        """A free even port for EVEN-PORT (RFC 8656 section 7.2); `with_next` takes the port above it as well."""
        self._return_due(now)
        urn = self._pairs if with_next else self._even
        if not urn:
            return None
        port = self._use(urn.at(_below(len(urn), entropy)))
        if with_next:
            self._use(port + 1)
        return port

    def release(self, port: int, now: Now) -> None:
        """Gives back a used port; it can be taken again when it has been held."""
        self._retire(port, _State.HELD)
        self._held.append((now.monotonic + self._hold_seconds, port))

    def foreign(self, port: int, now: Now) -> None:
        """Gives back a used port that could not be bound, since it is in use by somebody else."""
        self._retire(port, _State.FOREIGN)
        self._foreign.append((now.monotonic + FOREIGN_SECONDS, port))

    def census(self, now: Now) -> Census:
        self._return_due(now)
        free, held, foreign = len(self._even) + len(self._odd), len(self._held), len(self._foreign)
        return Census(free, len(self) - free - held - foreign, held, foreign)

    def _return_due(self, now: Now) -> None:
        for line in (self._held, self._foreign):
            while line and line[0][0] <= now.monotonic:
                self._put_back(line.popleft()[1])

    def _put_back(self, port: int) -> None:
        self._states[port - self._first] = _State.FREE
        (self._odd if port & 1 else self._even).add(port)
        even = port & ~1
        if even in range(self._first, self._last) and even in self._even and even + 1 in self._odd:
            self._pairs.add(even)

    def _use(self, port: int) -> int:
        self._states[port - self._first] = _State.USED
        (self._odd if port & 1 else self._even).discard(port)
        if port & ~1 >= self._first:
            self._pairs.discard(port & ~1)
        return port

    def _retire(self, port: int, state: _State) -> None:
        # Only the owner of a port gives it back, once; anything else would put it into two hands.
        if not self._first <= port <= self._last or self._states[port - self._first] != _State.USED:
            raise ValueError(f"port {port} is not in use")
        self._states[port - self._first] = state
