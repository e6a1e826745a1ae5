"""When a daemon is started, started again, and told to stop: decided here, on a clock that is handed in.

Every input returns its effects, to be carried out in their order. A daemon lives through

    STARTING -> SERVING (its process says so) -> READY (its /readyz says so) -> STARTING ... -> ENDED

and RESTING between its end and its next start. One that ends before it was ever ready will not get better by trying
again: the others are stopped, and the exit code is 1.
"""

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

#: seconds before the first restart; each further one waits twice as long
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
#: seconds after which a daemon that was ready counts as well again
STEADY = 60.0
#: seconds that daemons have to stop at once, before they are killed
GRACE = 10.0


class Order(enum.Enum):
    """What a daemon is told."""

    RELOAD = enum.auto()
    #: take no new work, finish the old
    DRAIN = enum.auto()
    #: stop at once
    STOP = enum.auto()
    KILL = enum.auto()


class Spawn(NamedTuple):
    """Start the process."""

    name: str


class Tell(NamedTuple):
    """Send an order to the process."""

    name: str
    order: Order


class Ready(NamedTuple):
    """A daemon answers; `again` after it had ended."""

    name: str
    again: bool


class AllReady(NamedTuple):
    """Every daemon answers, for the first time."""


class Resting(NamedTuple):
    """A daemon ended with this status; in `pause` seconds it is started again."""

    name: str
    status: int
    pause: float


class CannotStart(NamedTuple):
    """A daemon ended with this status before it was ever ready."""

    name: str
    status: int


Effect: TypeAlias = Spawn | Tell | Ready | AllReady | Resting | CannotStart


class Phase(enum.Enum):
    """Where a daemon stands."""

    STARTING = enum.auto()
    SERVING = enum.auto()
    READY = enum.auto()
    RESTING = enum.auto()
    ENDED = enum.auto()


class Mode(enum.Enum):
    """What is wanted of all of them."""

    RUNNING = enum.auto()
    DRAINING = enum.auto()
    STOPPING = enum.auto()
    KILLING = enum.auto()


@dataclass(slots=True)
class _Child:
    phase: Phase = Phase.STARTING
    ready_before: bool = False
    #: when it last became ready
    ready_since: float = 0.0
    #: ends since it was last well
    ends: int = 0
    restart_at: float = 0.0


class Supervision:
    """The state of all daemons. Times are seconds of one monotonic clock."""

    def __init__(self, names: Iterable[str]) -> None:
        self.mode = Mode.RUNNING
        #: 0, or 1 when a daemon could not start or had to be killed
        self.exit_code = 0
        self._children = {name: _Child() for name in names}
        self._all_were_ready = False
        self._kill_at: float | None = None

    @property
    def finished(self) -> bool:
        """Nothing runs and nothing will."""
        return all(child.phase is Phase.ENDED for child in self._children.values())

    def deadline(self) -> float | None:
        """When tick() has something to do; None for never."""
        times = [child.restart_at for child in self._children.values() if child.phase is Phase.RESTING]
        if self._kill_at is not None and not self.finished:
            times.append(self._kill_at)
        return min(times, default=None)

    def start(self) -> list[Effect]:
        """Starts every daemon; called once."""
        return [Spawn(name) for name in self._children]

    def serving(self, name: str) -> None:
        """The daemon's process says that it has started."""
        child = self._children[name]
        if child.phase is Phase.STARTING:
            child.phase = Phase.SERVING

    def ready(self, name: str, now: float) -> list[Effect]:
        """The daemon's /readyz says yes."""
        child = self._children[name]
        if child.phase is not Phase.SERVING:
            return []
        effects: list[Effect] = [Ready(name, again=child.ready_before)]
        child.phase, child.ready_before, child.ready_since = Phase.READY, True, now
        if not self._all_were_ready and all(one.ready_before for one in self._children.values()):
            self._all_were_ready = True
            effects.append(AllReady())
        return effects

    def exited(self, name: str, status: int, now: float) -> list[Effect]:
        """The daemon's process has ended: an exit code, or the negative number of the signal that ended it."""
        child = self._children[name]
        was_ready = child.phase is Phase.READY
        child.phase = Phase.ENDED
        if self.mode is not Mode.RUNNING:
            return []
        if not child.ready_before:
            self.exit_code = 1
            return [CannotStart(name, status), *self._stop(now)]
        if was_ready and now - child.ready_since >= STEADY:
            child.ends = 0
        pause = min(FIRST_PAUSE * 2.0**child.ends, LONGEST_PAUSE)
        child.ends += 1
        child.phase, child.restart_at = Phase.RESTING, now + pause
        return [Resting(name, status, pause)]

    def asked_to_stop(self, now: float) -> list[Effect]:
        """Somebody wants the end: the first time daemons drain, the second they stop, the third they are killed."""
        if self.mode is Mode.RUNNING:
            self.mode = Mode.DRAINING
            self._forget_resting()
            return list(self._tell_all(Order.DRAIN))
        return self._stop(now) if self.mode is Mode.DRAINING else self._kill()

    def asked_to_reload(self) -> list[Effect]:
        """The configuration has changed. A process that has not started yet reads it anyway, and could not take it."""
        able = (Phase.SERVING, Phase.READY)
        return [Tell(name, Order.RELOAD) for name, child in self._children.items() if child.phase in able]

    def tick(self, now: float) -> list[Effect]:
        """Does what is due."""
        effects: list[Effect] = []
        for name, child in self._children.items():
            if child.phase is Phase.RESTING and child.restart_at <= now:
                child.phase = Phase.STARTING
                effects.append(Spawn(name))
        if self._kill_at is not None and self._kill_at <= now:
            effects += self._kill()
        return effects

    def _stop(self, now: float) -> list[Effect]:
        self.mode = Mode.STOPPING
        self._kill_at = now + GRACE
        self._forget_resting()
        return list(self._tell_all(Order.STOP))

    def _kill(self) -> list[Effect]:
        self.mode = Mode.KILLING
        self._kill_at = None
        killed = list(self._tell_all(Order.KILL))
        if killed:
            self.exit_code = 1
        return killed

    def _forget_resting(self) -> None:
        for child in self._children.values():
            if child.phase is Phase.RESTING:
                child.phase = Phase.ENDED

    def _tell_all(self, order: Order) -> Iterator[Effect]:
        for name, child in self._children.items():
            if child.phase is Phase.STARTING and order is Order.STOP:
                # It has no handlers yet: SIGTERM ends it without a word, where SIGINT would leave a traceback.
                yield Tell(name, Order.DRAIN)
            elif child.phase is not Phase.ENDED:
                yield Tell(name, order)
