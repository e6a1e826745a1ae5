"""The pool of relay ports of one address: each port is in exactly one hand, and is drawn by chance.

free     may be taken
used     a relay socket (or a reservation) has it, until release() or foreign()
held     given back a while ago: late packets of its last owner must not reach the next. It counts as that owner's,
         and is lent early where nothing else is free, when it has rested for longer than any engine lags
foreign  another program had it when we tried to bind it (the default range overlaps Linux's ephemeral ports)

free + used + held + foreign is the range, always. Every operation takes constant time, ports that come back in
between counted to those that gave them away.
"""

from array import array
from collections import Counter, deque
from typing import NamedTuple

from fairlead.clock import Entropy, Now

#: Seconds for which a port that somebody else had is left alone.
FOREIGN_SECONDS = 60.0
#: Seconds that a port rests though nothing else is free: engines lag by milliseconds.
LEAST_REST = 2.0


#: In whose hand a port is that is not free. A free one has its place in an urn instead.
_USED, _HELD, _FOREIGN = -1, -2, -3


class Census(NamedTuple):
    """How many ports are in which hand."""

    free: int
    used: int
    held: int
    foreign: int


class _Held(NamedTuple):
    due: float
    port: int
    owner: str


class _Urn:
    """Ports from which one is drawn by chance; adding and removing take constant time. `places` says where each of them
    stands; `base` is the port of its first entry."""

    def __init__(self, base: int, places: "array[int]") -> None:
        self._base = base
        self._places = places
        self.ports = array("H")

    def add(self, port: int) -> None:
        self._places[port - self._base] = len(self.ports)
        self.ports.append(port)

    def remove(self, port: int) -> None:
        """Takes out a port that is in it."""
        last = self.ports.pop()
        if last != port:
            place = self._places[port - self._base]
            self.ports[place] = last
            self._places[last - self._base] = place


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
        # From an even port to an odd one, so that each has the other half of its pair at hand.
        self._base = first & ~1
        self._places = array("i", [_FOREIGN]) * ((last | 1) - self._base + 1)
        self._even = _Urn(self._base, self._places)
        self._odd = _Urn(self._base, self._places)
        #: Even ports whose next one is free too.
        self._pairs = _Urn(self._base, self._places[:])
        # Each line has one waiting time, so that whoever came first leaves first.
        self._held: deque[_Held] = deque()
        self._foreign: deque[tuple[float, int]] = deque()
        self._held_of: Counter[str] = Counter()
        for port in range(first, last + 1):
            self._put_back(port)

    def __len__(self) -> int:
        return self._last - self._first + 1

    def take(self, entropy: Entropy, now: Now) -> int | None:
        """Any free port; None when there is none."""
        self._return_due(now)
        even, odd = self._even.ports, self._odd.ports
        while not even and not odd:
            if not self._lend(now):
                return None
        index = _below(len(even) + len(odd), entropy)
        return self._use(even[index] if index < len(even) else odd[index - len(even)])

    def take_even(self, entropy: Entropy, now: Now, with_next: bool) -> int | None:
        """A free even port for EVEN-PORT (RFC 8656 section 7.2); `with_next` takes the port above it as well."""
        self._return_due(now)
        ports = (self._pairs if with_next else self._even).ports
        while not ports:
            if not self._lend(now):
                return None
        port = self._use(ports[_below(len(ports), entropy)])
        if with_next:
            self._use(port + 1)
        return port

    def release(self, port: int, owner: str, now: Now) -> None:
        """Gives back a used port; it can be taken again when it has been held, and until then counts as its owner's."""
        self._retire(port, _HELD)
        self._held.append(_Held(now.monotonic + self._hold_seconds, port, owner))
        self._held_of[owner] += 1

    def give_back(self, port: int) -> None:
        """Of a used port that never was bound: nothing can come late for it, so that anybody may have it now."""
        self._retire(port, _HELD)
        self._put_back(port)

    def held_of(self, owner: str, now: Now) -> int:
        """How many held ports were this owner's."""
        self._return_due(now)
        return self._held_of[owner]

    def foreign(self, port: int, now: Now) -> None:
        """Gives back a used port that could not be bound, since it is in use by somebody else."""
        self._retire(port, _FOREIGN)
        self._foreign.append((now.monotonic + FOREIGN_SECONDS, port))

    def census(self, now: Now) -> Census:
        self._return_due(now)
        free, held, foreign = len(self._even.ports) + len(self._odd.ports), len(self._held), len(self._foreign)
        return Census(free, len(self) - free - held - foreign, held, foreign)

    def _return_due(self, now: Now) -> None:
        while self._held and self._held[0].due <= now.monotonic:
            self._return_first()
        while self._foreign and self._foreign[0][0] <= now.monotonic:
            self._put_back(self._foreign.popleft()[1])

    def _lend(self, now: Now) -> bool:
        """Returns the port that has been held longest before its time, if it has rested at all."""
        if not self._held or now.monotonic - (self._held[0].due - self._hold_seconds) < LEAST_REST:
            return False
        self._return_first()
        return True

    def _return_first(self) -> None:
        """The port that has been held longest is free, and nobody's."""
        _, port, owner = self._held.popleft()
        self._held_of[owner] -= 1
        if not self._held_of[owner]:
            del self._held_of[owner]
        self._put_back(port)

    def _put_back(self, port: int) -> None:
        (self._odd if port & 1 else self._even).add(port)
        if self._places[(port - self._base) ^ 1] >= 0:
            self._pairs.add(port & ~1)

    def _use(self, port: int) -> int:
        (self._odd if port & 1 else self._even).remove(port)
        self._places[port - self._base] = _USED
        if self._places[(port - self._base) ^ 1] >= 0:
            self._pairs.remove(port & ~1)
        return port

    def _retire(self, port: int, hand: int) -> None:
        # Only the owner of a port gives it back, once; anything else would put it into two hands.
        if not self._first <= port <= self._last or self._places[port - self._base] != _USED:
            raise ValueError(f"port {port} is not in use")
        self._places[port - self._base] = hand
