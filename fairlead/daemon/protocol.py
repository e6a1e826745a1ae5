"""What a daemon is to the runtime, and what the runtime gives it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from fairlead.config import DaemonSettings, Loaded
from fairlead.daemon.clocks import SystemClock
from fairlead.metrics import Metrics

S = TypeVar("S", bound=DaemonSettings)


@dataclass(slots=True)
class Context:
    """What a daemon is started with: one registry of metrics under its prefix, and the clock."""

    metrics: Metrics
    clock: SystemClock


class Daemon(Protocol[S]):
    """A daemon. All its methods run in one event loop; none may block it.

    Its life: start, any number of reloads, drain, stop. stop() also comes without a drain, and after a failed start.
    """

    #: the section of the configuration and the command's name: "stund", "turnd", "signal_api"
    name: str
    #: what its metrics begin with: "stund", "turnd", "signal"
    prefix: str
    #: the model of its section
    settings: type[S]

    async def start(self, loaded: Loaded[S], context: Context) -> None:
        """Returns when it serves. Raises SettingError for a setting that the machine cannot honour (the runtime adds
        where it was written) or ConfigError for several; the process exits with 1 then."""
        ...

    async def reload(self, loaded: Loaded[S]) -> None:
        """Takes a new configuration over, all or nothing: what can fail comes first, and a SettingError or ConfigError
        leaves everything as it was."""
        ...

    async def readiness(self) -> Sequence[str]:
        """Why it should be given no new work, each reason a sentence; empty when ready. Draining is added by the
        runtime. Called for each request to /readyz: what is expensive is remembered for a while."""
        ...

    def about(self) -> Mapping[str, str | int]:
        """What /readyz says beside the verdict, such as the engine that runs; called once start() has returned."""
        ...

    async def drain(self) -> None:
        """Takes no new work, serves the old, and returns when none is left; cut short at the drain deadline."""
        ...

    async def stop(self) -> None:
        """Closes everything now."""
        ...
