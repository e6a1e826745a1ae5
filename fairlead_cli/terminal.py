"""What is printed, and how: plain text, colour on a terminal only, failures with their cause and the next command."""

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import typer
from rich.console import Console

from fairlead.config import ConfigError
from fairlead_cli.exits import Exit
from fairlead_cli.state import StateError


def stdout() -> Console:
    """For what was asked for: nothing is wrapped, nothing is taken for markup."""
    return Console(soft_wrap=True, highlight=False, markup=False, emoji=False)


def stderr() -> Console:
    """For everything that is said beside it."""
    return Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)


class CommandError(Exception):
    """A command cannot do what it was asked for: a sentence with the remedy."""

    def __init__(self, sentence: str, code: Exit = Exit.PROBLEM) -> None:
        super().__init__(sentence)
        self.code = code


def pasteable(command: str, config: Path | None) -> str:
    """The line to type for a command: `fairlead` where the PATH has it, else the path by which it was called."""
    called = sys.argv[0]
    name = called if Path(called).name == "fairlead" and shutil.which("fairlead") is None else "fairlead"
    return f"{name} {command}" if config is None else f"{name} {command} --config {config}"


@contextlib.contextmanager
def explained(command: str, config: Path | None) -> Iterator[None]:
    """Turns what a command raises into a message and an exit code."""
    try:
        yield
    except ConfigError as error:
        for problem in error.problems:
            say_failure(command, str(problem))
        stderr().print(f"Put it right, then: {pasteable('check', config)}")
        raise typer.Exit(Exit.USAGE) from None
    except StateError as error:
        say_failure(command, str(error))
        raise typer.Exit(Exit.PROBLEM) from None
    except CommandError as error:
        say_failure(command, str(error))
        raise typer.Exit(error.code) from None


def say_failure(command: str, sentence: str) -> None:
    """One line to standard error."""
    console = stderr()
    console.print(f"fairlead {command}: ", style="bold red", end="")
    console.print(sentence)
