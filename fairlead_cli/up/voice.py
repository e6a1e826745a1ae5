"""What `fairlead up` says: the daemons' lines under their names and its own in between, to standard error; and the
summary, to standard output."""

from collections.abc import Callable

from rich.console import Console, RenderableType
from rich.text import Text

from fairlead.log import printable
from fairlead_cli.up.records import for_people, parse_record

#: what our own lines stand under
OWN_NAME = "fairlead"
_WIDTH = 10
_COLOURS = {"stund": "cyan", "turnd": "magenta", "signal_api": "blue", OWN_NAME: "bold"}


class _Console(Console):
    """Rich ends the program when a pipe breaks; here daemons have to be ended first."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class Voice:
    """Writes lines; when nobody can hear them any more, `unheard` is called, once."""

    def __init__(self, unheard: Callable[[], None]) -> None:
        self._out = _Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
        self._err = _Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)
        self._unheard = unheard
        self._is_heard = True

    def say(self, sentence: str, style: str = "") -> None:
        """One line of our own."""
        self._line(OWN_NAME, Text(sentence, style=style))

    def relay(self, name: str, line: str) -> None:
        """A daemon's line: as it is for programs, in words for a terminal."""
        if not self._err.is_terminal:
            self._line(name, Text(line))
            return
        record = parse_record(line)
        self._line(name, Text(printable(line)) if record is None else for_people(record))

    def show(self, what: RenderableType) -> None:
        """What was asked for."""
        self._print(self._out, what)

    def _line(self, name: str, text: Text) -> None:
        self._print(self._err, Text.assemble((f"{name:<{_WIDTH}} | ", _COLOURS.get(name, "")), text))

    def _print(self, console: Console, what: RenderableType) -> None:
        if not self._is_heard:
            return
        try:
            console.print(what)
        except OSError:
            # The terminal was closed, or the reader of the pipe is gone.
            self._is_heard = False
            self._unheard()
