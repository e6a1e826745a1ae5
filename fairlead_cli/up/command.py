"""The command `fairlead up`."""

import asyncio
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import typer

from fairlead.config import ConfigError, Place, Problem
from fairlead_cli.configuration import Configuration, read_configuration
from fairlead_cli.endpoints import ops_addresses
from fairlead_cli.options import ConfigOption
from fairlead_cli.state import StateDirectory
from fairlead_cli.supplies import Variables, supplies
from fairlead_cli.terminal import explained
from fairlead_cli.up.foreman import Foreman, Job
from fairlead_cli.up.summary import render, summarise
from turnd.addresses import machine_hosts


def up(config: ConfigOption = None) -> None:
    """Runs stund, turnd and signal-api, together, in the foreground.

    No configuration is needed. A secret and a join key are made on the first start and kept, for you alone to read, in
    FAIRLEAD_STATE, else in the user's state directory ($XDG_STATE_HOME/fairlead, ~/.local/state/fairlead). People at
    this machine may use the page; everybody else needs the join key, which stands in the address that is printed. What
    the configuration says itself is left alone.

    A daemon that dies is started again, after a pause that grows. One that cannot even start ends everything, and the
    reason is the last thing you read.

    \b
    Signals:
      SIGTERM, Ctrl-C   drain: no new work, calls go on; once more stops at once, a third time kills
      SIGHUP            the daemons read the configuration again; a wrong one changes nothing
    \b
    Exit codes:
      0   ended as asked
      1   a daemon could not start (a port is taken, a file is missing), or had to be killed
      2   the configuration is wrong
    """
    with explained("up", config):
        session = Session(config, os.environ)
        raise typer.Exit(asyncio.run(session.run()))


class Session:
    """One run: the configuration, and what was brought along for it. Raises ConfigError and StateError."""

    def __init__(self, config: Path | None, environ: Mapping[str, str]) -> None:
        self._config = config
        self._environ = environ
        self._state = StateDirectory.of(environ)
        self._supplies = supplies(read_configuration(config, environ), self._state)
        self._state.prepare({Path(value) for value in self._supplies.values()})
        self._configuration = self._read(self._supplies)
        _refuse_unknown_ops(self._configuration)

    async def run(self) -> int:
        """Returns the exit code."""
        foreman = Foreman(self.jobs(), lambda seconds: self._show(foreman, seconds), self.objections)
        return await foreman.run()

    def jobs(self) -> list[Job]:
        """The three real commands with one configuration."""
        environ = {**self._environ, **self._supplies}
        arguments = ["--config", str(self._config)] if self._config is not None else []
        return [Job(name, arguments, environ, ops) for name, ops in ops_addresses(self._configuration).items()]

    def objections(self) -> Sequence[str]:
        """Why the configuration as it is now cannot be taken over; nothing where it can."""
        try:
            now = self._read(self._supplies)
            needed = supplies(read_configuration(self._config, self._environ), self._state)
        except ConfigError as error:
            return [str(problem) for problem in error.problems]
        moved = [name for name, ops in ops_addresses(now).items() if ops != ops_addresses(self._configuration)[name]]
        objections = [f"{name}.ops cannot move while fairlead up runs; put it back, or restart" for name in moved]
        if needed != self._supplies:
            names = sorted(dict(needed.items() ^ self._supplies.items()))
            objections.append(f"it changes what fairlead up brings along ({', '.join(names)}); restart")
        return objections

    def _read(self, given: Variables) -> Configuration:
        return read_configuration(self._config, {**self._environ, **given})

    def _show(self, foreman: Foreman, seconds: float) -> None:
        kept = (self._state.secret, self._state.join_key)
        kept_in = [str(file) for file in kept if str(file) in self._supplies.values()]
        summary = summarise(self._configuration, machine_hosts(), kept_in, self._config)
        foreman.voice.show(render(summary, seconds))


def _refuse_unknown_ops(configuration: Configuration) -> None:
    """A port that the system chooses is a port that nobody can ask whether the daemon is ready."""
    unknown = (name for name, ops in ops_addresses(configuration).items() if ops.port == 0)
    problems = list(_problems(configuration, unknown))
    if problems:
        raise ConfigError(problems)


def _problems(configuration: Configuration, names: Iterable[str]) -> Iterable[Problem]:
    for name in names:
        place: Place = configuration.document.place((name, "ops"))
        yield Problem(place, (name, "ops"), "`fairlead up` asks there whether it is ready", "write a port")
