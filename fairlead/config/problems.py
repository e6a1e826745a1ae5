"""What is wrong with a configuration, where it stands, and what to write instead."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

#: The way to a value: `("turnd", "listen", 0)`.
Key: TypeAlias = tuple[str | int, ...]


def key_text(key: Key) -> str:
    """`turnd.listen[0]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".")


class Place(NamedTuple):
    """Where something was written: a file with line and column (from 1), or an environment variable."""

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}" if self.line else self.source


class Problem(NamedTuple):
    """One thing that is wrong, in words for the person who runs this."""

    place: Place
    key: Key
    wrong: str
    remedy: str = ""

    def __str__(self) -> str:
        parts = [str(self.place), key_text(self.key), self.wrong + (f"; {self.remedy}" if self.remedy else "")]
        return ": ".join(part for part in parts if part)


class ConfigError(Exception):
    """A configuration that cannot be used: every problem that it has, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class SettingError(Exception):
    """A valid setting that the machine cannot honour: a port that is taken, a certificate that is not there.

    Raised by whoever acts on the setting; Loaded.locate says where it was written.
    """

    def __init__(self, key: Key, wrong: str, remedy: str = "") -> None:
        super().__init__(f"{key_text(key)}: {wrong}" + (f"; {remedy}" if remedy else ""))
        self.key = key
        self.wrong = wrong
        self.remedy = remedy
