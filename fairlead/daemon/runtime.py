"""The life of a daemon: start, readiness, reload, drain, stop, and the signals that ask for them."""

import asyncio
import platform
import signal
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

from fairlead import __version__
from fairlead.config import ConfigError, DaemonSettings, Loaded, Problem, SettingError
from fairlead.daemon.clocks import SystemClock
from fairlead.daemon.http import HttpServer
from fairlead.daemon.lag import LagSampler
from fairlead.daemon.notify import Notifier
from fairlead.daemon.ops import OpsApp, Readiness
from fairlead.daemon.protocol import Context, Daemon
from fairlead.datagram import Transport
from fairlead.listeners import Listener, bind
from fairlead.log import configure, get_logger
from fairlead.metrics import LabelSet, Metrics

S = TypeVar("S", bound=DaemonSettings)

_log = get_logger("fairlead.daemon")

#: What a daemon may take to close everything; nothing that it does then waits for others.
_STOP_SECONDS = 10.0


class Runtime(Generic[S]):
    """Runs one daemon in the running event loop. `load_again` reads the configuration anew, or raises ConfigError."""

    def __init__(
        self, daemon: Daemon[S], loaded: Loaded[S], load_again: Callable[[], Loaded[S]], environ: Mapping[str, str]
    ) -> None:
        self._daemon = daemon
        self._loaded = loaded
        self._load_again = load_again
        self._notify = Notifier(environ)
        self._context = Context(Metrics(daemon.prefix), SystemClock())
        self._lag = LagSampler(self._context.metrics)
        self._stopping = asyncio.Event()
        self._started = False
        self._draining = False
        self._reloading = asyncio.Lock()
        self._reloaded_at = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        self._ops: HttpServer | None = None
        self._signals: dict[int, Callable[[], None]] = {
            signal.SIGTERM: self._on_terminate,
            signal.SIGUSR1: self._on_drain,
            signal.SIGINT: self._stopping.set,
            signal.SIGHUP: partial(self._spawn, self._reload),
        }
        self._declare_metrics()

    async def serve(self) -> bool:
        """From start to stop; False when it could not start."""
        self._handle_signals()
        try:
            await self._start()
        except (ConfigError, SettingError) as error:
            for problem in _problems(error, self._loaded):
                _log.error("cannot start", problem=str(problem))
            return False
        except Exception:
            _log.exception("cannot start")
            return False
        else:
            await self._stopping.wait()
            return True
        finally:
            await self._stop()

    async def _start(self) -> None:
        ops = self._ops = await self._open_ops(self._loaded)
        self._lag.start()
        self._watchdog()
        starting = asyncio.create_task(self._daemon.start(self._loaded, self._context))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await starting
        finally:
            for task in (starting, stopping):
                task.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)
        if not self._stopping.is_set():
            self._started = True
            self._notify(READY=1)
            loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
            _log.info("ready", daemon=self._daemon.name, version=__version__, loop=loop, ops=str(ops.address))

    async def _stop(self) -> None:
        self._stopping.set()
        self._notify(STOPPING=1)
        self._lag.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            await asyncio.wait_for(self._daemon.stop(), _STOP_SECONDS)
        except TimeoutError:
            _log.error("not stopped in time, leaving all the same", seconds=_STOP_SECONDS)
        if self._ops is not None:
            await self._ops.stop()
        for number in self._signals:
            asyncio.get_running_loop().remove_signal_handler(number)
        if self._started:
            _log.info("stopped", daemon=self._daemon.name)
        self._notify.close()

    # Signals

    def _handle_signals(self) -> None:
        for number, handler in self._signals.items():
            asyncio.get_running_loop().add_signal_handler(number, handler)

    def _on_terminate(self) -> None:
        if self._draining or not self._started:
            self._stopping.set()
        else:
            self._on_drain()

    def _on_drain(self) -> None:
        if self._started and not self._draining:
            self._draining = True
            self._spawn(self._drain)

    def _spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _drain(self) -> None:
        deadline = self._loaded.section.drain_deadline
        self._notify(STATUS="draining")
        _log.info("draining", deadline=deadline)
        try:
            await asyncio.wait_for(self._daemon.drain(), deadline)
        except TimeoutError:
            _log.warning("drain deadline passed, stopping with work left", deadline=deadline)
        except Exception:
            _log.exception("drain failed, stopping")
        self._stopping.set()

    # Reload

    async def _reload(self) -> None:
        if not self._started:
            return
        async with self._reloading:
            now = self._context.clock.now()
            self._notify(RELOADING=1, MONOTONIC_USEC=int(now.monotonic * 1e6))
            try:
                problems = await self._take_over()
            except Exception:
                _log.exception("reload failed")
                problems = None
            for problem in problems or ():
                _log.error("configuration refused, the old one stays", problem=str(problem))
            self._reloads["success" if problems == [] else "error",] += 1
            if problems == []:
                self._reloaded_at = now.wall
                _log.info("configuration reloaded")
            self._notify(READY=1)

    async def _take_over(self) -> list[Problem]:
        """Replaces the configuration; returns what kept it from doing so, with everything as it was."""
        loaded = self._loaded
        ops = self._ops
        try:
            loaded = self._load_again()
            if loaded.section.ops != self._loaded.section.ops:
                ops = await self._open_ops(loaded)
            await self._daemon.reload(loaded)
        except BaseException as error:
            if ops is not None and ops is not self._ops:
                await ops.stop()
            if isinstance(error, ConfigError | SettingError):
                return _problems(error, loaded)
            raise
        self._loaded = loaded
        configure(loaded.shared.log)
        old, self._ops = self._ops, ops
        if old is not None and old is not ops:
            await old.stop()
        return []

    # Ops

    async def _open_ops(self, loaded: Loaded[S]) -> HttpServer:
        address = loaded.section.ops_address
        sockets = bind(Listener(Transport.TCP, *address), (loaded.name, "ops"))
        app = OpsApp(self._daemon.name, __version__, self._context.metrics, self._readiness)
        server = HttpServer(app, sockets, http="h11", ws="none", lifespan="off", timeout_graceful_shutdown=1)
        await server.start()
        return server

    async def _readiness(self) -> Readiness:
        if not self._started:
            return Readiness(("starting",))
        reasons = ["draining"] if self._draining else []
        return Readiness([*reasons, *await self._daemon.readiness()], self._draining, self._daemon.about())

    def _watchdog(self) -> None:
        interval = self._notify.watchdog_interval
        if interval is not None and not self._stopping.is_set():
            self._notify(WATCHDOG=1)
            asyncio.get_running_loop().call_later(interval, self._watchdog)

    def _declare_metrics(self) -> None:
        metrics = self._context.metrics
        build: dict[LabelSet, float] = {(__version__, platform.python_version()): 1}
        metrics.gauge("build_info", "The version that runs.", lambda: build, ("version", "python"))
        born = self._context.clock.now().wall
        metrics.gauge("start_time_seconds", "When the daemon was started, in Unix time.", lambda: born)
        metrics.gauge("draining", "1 while the daemon drains.", lambda: self._draining)
        text = (
            "Configurations that were read on SIGHUP, by what became of them; after an error the last one counts, see "
            "the log."
        )
        self._reloads = metrics.counts("config_reloads", text, {"result": ("success", "error")})
        text = "When a new configuration was last taken over, in Unix time; 0 before the first."
        metrics.gauge("config_last_reload_success_timestamp_seconds", text, lambda: self._reloaded_at)


def _problems(error: ConfigError | SettingError, loaded: Loaded[Any]) -> list[Problem]:
    return list(error.problems) if isinstance(error, ConfigError) else [loaded.locate(error)]
