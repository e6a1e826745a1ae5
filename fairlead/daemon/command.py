"""The command line of a daemon, and everything before its event loop: configuration, logs, the choice of the loop."""

import argparse
import asyncio
import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from fairlead import __version__
from fairlead.config import ConfigError, DaemonSettings, Loaded, load
from fairlead.daemon.files import open_standard_files, take_all_files
from fairlead.daemon.protocol import Daemon
from fairlead.daemon.runtime import Runtime
from fairlead.log import configure

S = TypeVar("S", bound=DaemonSettings)

LOOPS = ("auto", "asyncio", "uvloop")

EXIT_OK, EXIT_PROBLEM, EXIT_USAGE = 0, 1, 2


def run(daemon: Daemon[S], arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Runs a daemon until a signal ends it. Returns the exit code: 0, 1 for a problem, 2 for a wrong configuration."""
    open_standard_files()
    options = _options(daemon.name, environ).parse_args(arguments)
    path: Path | None = options.config

    def load_again() -> Loaded[S]:
        return load(path, environ, daemon.name, daemon.settings)

    try:
        loaded = load_again()
    except ConfigError as error:
        for problem in error.problems:
            sys.stderr.write(f"{daemon.name}: {problem}\n")
        return EXIT_USAGE
    if options.check:
        sys.stdout.writelines(f"{effective}\n" for effective in loaded.effective())
        return EXIT_OK
    configure(loaded.shared.log)
    try:
        factory = _loop_factory(options.loop)
    except ModuleNotFoundError:
        sys.stderr.write(f"{daemon.name}: uvloop is asked for and not installed; install it, or use --loop auto\n")
        return EXIT_USAGE
    take_all_files()
    # What is imported by now lives as long as the process: the collector need not walk through it again and again.
    gc.freeze()
    with asyncio.Runner(loop_factory=factory) as runner:
        served = runner.run(Runtime(daemon, loaded, load_again, environ).serve())
    return EXIT_OK if served else EXIT_PROBLEM


def _options(name: str, environ: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=name, description=f"Fairlead's {name}.", epilog=_SIGNALS)
    configured = environ.get("FAIRLEAD_CONFIG")
    parser.add_argument(
        "--config",
        metavar="PATH",
        type=Path,
        default=Path(configured) if configured else None,
        help="the configuration file (FAIRLEAD_CONFIG); without one, defaults and FAIRLEAD__SECTION__KEY variables",
    )
    parser.add_argument("--check", action="store_true", help="show every setting and where it comes from, then exit")
    parser.add_argument(
        "--loop",
        choices=LOOPS,
        default=environ.get("FAIRLEAD_LOOP") or "auto",
        help="the event loop (FAIRLEAD_LOOP); auto takes uvloop where it is installed",
    )
    parser.add_argument("--version", action="version", version=f"{name} {__version__}")
    return parser


_SIGNALS = """Signals: SIGTERM and SIGUSR1 drain (a second SIGTERM stops), SIGINT stops, SIGHUP reads the configuration
again. Exit codes: 0 ok, 1 a problem, 2 a wrong configuration or command line."""


def _loop_factory(choice: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The factory of the chosen loop, None for asyncio's own; raises ModuleNotFoundError when uvloop is a must."""
    if choice == "asyncio":
        return None
    try:
        import uvloop
    except ModuleNotFoundError:
        if choice == "uvloop":
            raise
        return None
    return uvloop.new_event_loop
