"""What `python -m bench` can do: each module here is the command of its name.

A command has `add_arguments(parser)`, and `run(options)`, which returns the exit status and may raise BenchError. The
first line of its docstring is its help.
"""

import argparse
import importlib
import pkgutil
from collections.abc import Iterator
from typing import Protocol, cast


class Command(Protocol):
    """A module of this package."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, options: argparse.Namespace) -> int: ...


def commands() -> Iterator[tuple[str, Command]]:
    """Every command by the word that is typed for it."""
    for module in pkgutil.iter_modules(__path__):
        yield module.name, cast(Command, importlib.import_module(f"{__name__}.{module.name}"))
