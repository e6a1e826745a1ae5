"""The other processes of this service: `workers: N` is this one and N - 1 that it starts and looks after.

Each is a node like any other, with a listener of its own on the same port (SO_REUSEPORT: the kernel spreads the
connections) and an ops port of its own, one number higher for each.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence

from fairlead.datagram import Address
from fairlead.log import get_logger

#: which worker a process is; the first, which looks after the others, has none
VARIABLE = "FAIRLEAD_WORKER"
#: seconds until a worker that ended by itself is started again
_PAUSE = 1.0

_log = get_logger("signal_api.workers")


def environment_of(number: int, environ: Mapping[str, str], listen: str, ops: Address) -> dict[str, str]:
    """What a worker is told: where to listen, and on which port it answers questions about itself."""
    own = {name: value for name, value in environ.items() if name not in ("NOTIFY_SOCKET", "WATCHDOG_USEC")}
    ops = ops._replace(port=ops.port + number if ops.port else 0)
    section = "FAIRLEAD__SIGNAL_API__"
    return own | {VARIABLE: str(number), f"{section}LISTEN": listen, f"{section}OPS": str(ops)}


class Workers:
    """Starts processes, starts those again that end by themselves, and passes on what this one is told."""

    def __init__(self, environments: Sequence[Mapping[str, str]]) -> None:
        self._environments = environments
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._watching: list[asyncio.Task[None]] = []
        self._is_ending = False

    def start(self) -> None:
        for number, environment in enumerate(self._environments, 1):
            self._watching.append(asyncio.create_task(self._watch(number, environment)))

    def missing(self) -> list[str]:
        """Which do not run, each as a sentence."""
        numbers = range(1, len(self._environments) + 1)
        return [f"worker {number} does not run" for number in numbers if number not in self._running]

    def tell(self, what: signal.Signals) -> None:
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(what)

    async def end(self, how: signal.Signals) -> None:
        """Returns when the last has gone, in its own time."""
        self._is_ending = True
        self.tell(how)
        for watching in self._watching:
            if not self._running:
                watching.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)

    async def _watch(self, number: int, environment: Mapping[str, str]) -> None:
        while not self._is_ending:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "signal_api",
                *sys.argv[1:],
                env=environment,
                stdin=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
            self._running[number] = process
            code = await process.wait()
            del self._running[number]
            if not self._is_ending:
                _log.error("a worker has ended by itself and is started again", worker=number, code=code)
                await asyncio.sleep(_PAUSE)


def end_with_parent() -> None:
    """A worker does not outlive the process that started it, which holds the other end of its standard input."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        if not os.read(0, 4096):
            loop.remove_reader(0)
            os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(0, read)
