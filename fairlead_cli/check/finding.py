"""What a configuration that is valid can still be told."""

from typing import NamedTuple

from fairlead.config import Key, Problem, SettingError
from fairlead_cli.configuration import Configuration


class Finding(NamedTuple):
    """`fatal`: a daemon would not start with it. Else it starts, and somebody will wonder."""

    problem: Problem
    fatal: bool = False


def found(configuration: Configuration, key: Key, wrong: str, remedy: str, *, fatal: bool = False) -> Finding:
    """A finding at the place where a key is written."""
    return Finding(Problem(configuration.document.place(key), key, wrong, remedy), fatal)


def refused(configuration: Configuration, error: SettingError, *, fatal: bool = True) -> Finding:
    """What a daemon says when it refuses to start."""
    return found(configuration, error.key, error.wrong, error.remedy, fatal=fatal)
