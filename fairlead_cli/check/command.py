"""The command `fairlead check`."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from fairlead.config import DEFAULT, ConfigError, Effective, Place, Problem, key_text
from fairlead_cli.check.certificates import find_certificate
from fairlead_cli.check.finding import Finding
from fairlead_cli.check.occupancy import find_occupancy
from fairlead_cli.check.trust import find_trust
from fairlead_cli.configuration import Configuration, read_configuration
from fairlead_cli.exits import Exit
from fairlead_cli.options import ConfigOption, JsonOption
from fairlead_cli.terminal import explained, stderr, stdout
from turnd.addresses import machine_hosts


def check(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Says what counts and where it was written, or what is wrong with it.

    All sections are read as their daemons read them, and everything that is wrong is said at once, with its place and
    its remedy. A valid configuration is shown value by value, secrets as stars. Then come the things that no daemon
    can see alone: one port wanted twice, a certificate that expires, clients that are told a port that nobody opens.

    \b
    Exit codes:
      0   every daemon takes it; warnings may still be worth reading
      1   valid, but a daemon could not start with it: a certificate is missing, a port is wanted twice
      2   wrong, as the daemons say it too: an unknown key, a value that means nothing
    """
    if as_json:
        raise typer.Exit(_as_json(config, os.environ))
    with explained("check", config):
        configuration = read_configuration(config, os.environ)
        for value in configuration.effective():
            _show(value)
        findings = find(configuration, time.time())
        _say(findings)
        raise typer.Exit(exit_code(findings))


def find(configuration: Configuration, wall: float) -> list[Finding]:
    """Everything that can be said beyond validity, what is fatal first. `wall` is Unix time."""
    machine = machine_hosts()
    findings = [
        *find_occupancy(configuration, machine),
        *find_certificate(configuration, wall),
        *find_trust(configuration, machine),
    ]
    return sorted(findings, key=lambda finding: not finding.fatal)


def exit_code(findings: Sequence[Finding]) -> Exit:
    return Exit.PROBLEM if any(finding.fatal for finding in findings) else Exit.OK


def _show(value: Effective) -> None:
    console, written = stdout(), value.place != DEFAULT
    console.print(f"{key_text(value.key)} = {value.text}", style="bold" if written else "", end="")
    console.print(f"  ({value.place})", style="dim")


def _say(findings: Sequence[Finding]) -> None:
    console = stderr()
    for finding in findings:
        word, style = ("problem", "bold red") if finding.fatal else ("warning", "yellow")
        console.print(f"{word}: ", style=style, end="")
        console.print(str(finding.problem))
    if not findings:
        console.print("Nothing is wrong with it.", style="green")


def _as_json(config: Path | None, environ: Mapping[str, str]) -> Exit:
    try:
        configuration = read_configuration(config, environ)
    except ConfigError as error:
        problems = [_problem(problem) for problem in error.problems]
        _print({"valid": False, "problems": problems, "warnings": [], "values": []})
        return Exit.USAGE
    findings = find(configuration, time.time())
    _print(
        {
            "valid": True,
            "problems": [_problem(finding.problem) for finding in findings if finding.fatal],
            "warnings": [_problem(finding.problem) for finding in findings if not finding.fatal],
            "values": [
                {"key": key_text(key), "value": text, "place": _place(place)}
                for key, text, place in configuration.effective()
            ],
        }
    )
    return exit_code(findings)


def _problem(problem: Problem) -> dict[str, Any]:
    key = key_text(problem.key)
    return {"key": key, "wrong": problem.wrong, "remedy": problem.remedy, "place": _place(problem.place)}


def _place(place: Place) -> dict[str, Any]:
    """Line and column are null for what stands in no file."""
    return {"source": place.source, "line": place.line or None, "column": place.column or None}


def _print(document: Mapping[str, Any]) -> None:
    stdout().print(json.dumps(document))
