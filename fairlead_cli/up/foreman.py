"""Carries out what the supervision decides: processes, signals, timers, and words about it all."""

import asyncio
import signal
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from fairlead.datagram import Address
from fairlead_cli.up.process import Process
from fairlead_cli.up.readiness import reasons_not_ready
from fairlead_cli.up.records import cause
from fairlead_cli.up.supervision import (
    AllReady,
    CannotStart,
    Effect,
    Mode,
    Ready,
    Resting,
    Spawn,
    Supervision,
    Tell,
)
from fairlead_cli.up.voice import Voice

#: seconds between two looks at /readyz
_POLL = 0.1
#: seconds after which it is said why a daemon is not ready yet
_PATIENCE = 3.0
#: lines of a daemon that are kept, to be told when it ends
_REMEMBERED = 20
#: what a shell says of a command that it could not run
_NOT_RUN = 126


class Job(NamedTuple):
    """One daemon: `python -m MODULE ARGUMENTS` with this environment, and its ops port."""

    module: str
    arguments: Sequence[str]
    environ: Mapping[str, str]
    ops: Address


class Foreman:
    """Runs jobs by the names of their modules until a signal ends them.

    `all_ready` is called when each has been ready once. `objections` is asked before a reload: why the configuration
    cannot be taken over, sentences; none lets the daemons read it.
    """

    def __init__(
        self, jobs: Iterable[Job], all_ready: Callable[[float], None], objections: Callable[[], Sequence[str]]
    ) -> None:
        self._jobs = {job.module: job for job in jobs}
        self._all_ready = all_ready
        self._objections = objections
        self._supervision = Supervision(self._jobs)
        self._processes: dict[str, Process] = {}
        self._last_lines: dict[str, deque[str]] = {}
        self._lives = asyncio.TaskGroup()
        self._finished = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._began = 0.0
        self._failed: str | None = None
        self.voice = Voice(unheard=self._on_stop)

    async def run(self) -> int:
        """From start to end; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload)
        self._began = loop.time()
        async with self._lives:
            self._carry_out(self._supervision.start())
            self.voice.say(f"starting {', '.join(self._jobs)}")
            await self._finished.wait()
        if self._failed is not None:
            self._explain(self._failed)
        return self._supervision.exit_code

    # Inputs

    def _on_stop(self) -> None:
        effects = self._supervision.asked_to_stop(self._now())
        self.voice.say(_STOPPING[self._supervision.mode])
        self._carry_out(effects)

    def _on_reload(self) -> None:
        objections = self._objections()
        for objection in objections:
            self.voice.say(f"configuration refused, the old one stays: {objection}", style="bold red")
        if not objections:
            self.voice.say("the daemons read the configuration again")
            self._carry_out(self._supervision.asked_to_reload())

    def _on_timer(self) -> None:
        self._carry_out(self._supervision.tick(self._now()))

    async def _live(self, name: str) -> None:
        """One life of a daemon."""
        process, job = self._processes[name], self._jobs[name]
        watch = self._lives.create_task(self._watch(name, process, job.ops))
        try:
            status = await process.run()
        except OSError as error:
            self._last_lines[name].append(f"the process cannot be started ({error.strerror})")
            status = _NOT_RUN
        watch.cancel()
        self._carry_out(self._supervision.exited(name, status, self._now()))

    async def _watch(self, name: str, process: Process, ops: Address) -> None:
        """Follows a daemon until it is ready, and says what it waits for."""
        await process.started.wait()
        self._supervision.serving(name)
        said: Sequence[str] = ()
        until = self._now() + _PATIENCE
        while reasons := await reasons_not_ready(ops):
            if self._now() >= until and reasons != said:
                self.voice.say(f"{name} has started and is not ready: {'; '.join(reasons)}", style="yellow")
                said = reasons
            await asyncio.sleep(_POLL)
        self._carry_out(self._supervision.ready(name, self._now()))

    # Effects

    def _carry_out(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Spawn(name):
                    self._spawn(name)
                case Tell(name, order):
                    self._processes[name].tell(order)
                case AllReady():
                    self._all_ready(self._now() - self._began)
                case Ready(name, again):
                    after = "again" if again else f"after {self._now() - self._began:.1f} s"
                    self.voice.say(f"{name} is ready {after}", style="green")
                case Resting(name, status, pause):
                    self.voice.say(f"{name} {ending(status)}; it starts again in {pause:g} s", style="bold red")
                case CannotStart(name, status):
                    self._failed = name
                    self.voice.say(f"{name} {ending(status)} before it was ready; the others are stopped", "bold red")
        self._arm()
        if self._supervision.finished:
            self._finished.set()

    def _spawn(self, name: str) -> None:
        job, lines = self._jobs[name], deque[str](maxlen=_REMEMBERED)

        def heard(line: str) -> None:
            lines.append(line)
            self.voice.relay(name, line)

        self._last_lines[name] = lines
        self._processes[name] = Process(job.module, job.arguments, job.environ, heard)
        self._lives.create_task(self._live(name))

    def _explain(self, name: str) -> None:
        """Said last, so that it is the first thing that is read."""
        self.voice.say(f"{name} cannot start:", style="bold red")
        for line in cause(self._last_lines[name]):
            self.voice.say(f"  {line}", style="bold")
        self.voice.say("put it right and run fairlead up again; fairlead check shows every key and where it is written")

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._supervision.deadline()
        self._timer = None if deadline is None else asyncio.get_running_loop().call_at(deadline, self._on_timer)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


_STOPPING = {
    Mode.DRAINING: "draining: no new work, calls go on until they end; once more (Ctrl-C) stops at once",
    Mode.STOPPING: "stopping at once",
    Mode.KILLING: "killing what is left",
}


def ending(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"ended with exit code {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
