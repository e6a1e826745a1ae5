"""Logs: one line a record, JSON or for people, to standard error; addresses masked on request, floods sampled.

Everything passes through the standard library's logging, so that uvicorn's and asyncio's records look like ours.
"""

import io
import ipaddress
import logging
import os
import re
import select
import sys
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any, TextIO

import structlog

from fairlead.config import LogSettings
from fairlead.sources import source_prefix

#: Values under these names are never shown, whoever logs them.
_SECRET_NAMES = frozenset({"password", "secret", "token", "authorization", "nonce_key", "cookie"})

_FIRST = ("timestamp", "level", "logger", "event")

_Event = MutableMapping[str, Any]


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger for one module; fields are keyword arguments, the event a short fixed phrase."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def configure(settings: LogSettings, stream: TextIO | None = None) -> None:
    """Sends every record of the process to `stream` (standard error) in this form; may be called again."""
    target = sys.stderr if stream is None else stream
    before: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _hide_secrets,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *before,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    handler = _Lines(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_last(settings, target)],
        )
    )
    root = logging.getLogger()
    for old in root.handlers:
        if isinstance(old.formatter, structlog.stdlib.ProcessorFormatter):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.level.upper())
    # Who speaks HTTP tells of it with addresses and frames, and what may be secret in them: at every level that is not
    # for people to act on.
    for name in ("uvicorn", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    logging.getLogger("uvicorn.access").disabled = True
    logging.getLogger("uvicorn.error").filters = [_ClientFaults()]


class _Lines(logging.Handler):
    """Writes to whoever reads the log, and waits for nobody: a terminal that was stopped, a journal whose disk is stuck
    or full, holds up no call. Lines that there was no room for are lost; how many is said when there is room again."""

    #: bytes for which there is room in a pipe that can be written to (pipe(7))
    _AT_ONCE = select.PIPE_BUF

    def __init__(self, target: TextIO) -> None:
        super().__init__()
        self._target = target
        self._lost = 0
        #: the end of the last line is missing
        self._is_cut = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self._lost and self._write(self._losses()):
                self._lost = 0
            if self._lost or not self._write(record):
                self._lost += 1
        except Exception:
            self.handleError(record)

    def _losses(self) -> logging.LogRecord:
        words = {"msg": "lines of the log were lost: nobody read it, or there was no room", "lines": self._lost}
        return logging.makeLogRecord(
            {"name": "fairlead.log", "levelno": logging.WARNING, "levelname": "WARNING", **words}
        )

    def _write(self, record: logging.LogRecord) -> bool:
        """Whether the whole line was taken."""
        line = self.format(record) + "\n"
        try:
            descriptor = self._target.fileno()
        except io.UnsupportedOperation:  # it is no file
            self._target.write(line)
            return True
        except ValueError:  # it is closed
            return False
        rest = ("\n" if self._is_cut else "").encode() + line.encode(errors="backslashreplace")
        whole = len(rest)
        try:
            while rest and self._has_room(descriptor):
                rest = rest[os.write(descriptor, rest[: self._AT_ONCE]) :]
        except OSError:
            pass
        self._is_cut = bool(rest) and (self._is_cut or len(rest) < whole)
        return not rest

    @staticmethod
    def _has_room(descriptor: int) -> bool:
        asked = select.poll()
        asked.register(descriptor, select.POLLOUT)
        return bool(asked.poll(0))


def _last(settings: LogSettings, target: TextIO) -> list[structlog.typing.Processor]:
    """What is done to a record last: exceptions to text, masks, the time, and the form of the line."""
    as_json = settings.format == "json" or (settings.format == "auto" and not target.isatty())
    steps: list[structlog.typing.Processor] = []
    if as_json or settings.mask_addresses:
        steps.append(structlog.processors.format_exc_info)
    if settings.mask_addresses:
        steps.append(_mask_addresses)
    steps.append(structlog.processors.TimeStamper(fmt="iso", utc=True))
    if as_json:
        steps.append(_in_order)
        steps.append(structlog.processors.JSONRenderer(default=str))
    else:
        steps.append(_make_printable)
        # Its own tracebacks, where rich is installed, show the values of variables: passwords and keys among them.
        plain = structlog.dev.plain_traceback
        steps.append(structlog.dev.ConsoleRenderer(colors=target.isatty(), exception_formatter=plain))
    return steps


def _hide_secrets(logger: Any, method: str, event: _Event) -> _Event:
    for name in _SECRET_NAMES & event.keys():
        event[name] = "*****"
    return event


def printable(line: str) -> str:
    """What a stranger's text cannot do to a terminal: control characters are shown, not obeyed."""
    if line.isprintable():
        return line
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in line)


def _make_printable(logger: Any, method: str, event: _Event) -> _Event:
    """Of user names, most of all. What is said about them, and tracebacks, may have lines."""
    for name, value in event.items():
        if isinstance(value, str):
            lines = value.split("\n") if name in ("event", "exception") else [value]
            event[name] = "\n".join(map(printable, lines))
    return event


def _in_order(logger: Any, method: str, event: _Event) -> _Event:
    """What every record has comes first."""
    event.pop("color_message", None)
    return {name: event[name] for name in _FIRST if name in event} | dict(event)


def _mask_addresses(logger: Any, method: str, event: _Event) -> _Event:
    for name, value in event.items():
        if name != "level" and not isinstance(value, bool | int | float | None):
            event[name] = mask_addresses(str(value))
    return event


_V4 = r"\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d)"
_V6 = r"[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7}(?![\w:])"
_ADDRESS = re.compile(rf"(?<![\w:.])(?:(?:[0-9a-fA-F]{{0,4}}:){{2,7}}{_V4}|{_V6}|{_V4})")


def mask_addresses(text: str) -> str:
    """Cuts every IP address in a text: the last octet of IPv4, the last 80 bits of IPv6. Loopback and wildcard
    addresses, which are nobody's, stay."""
    return _ADDRESS.sub(lambda match: _masked(match.group()), text)


def _masked(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    if address.is_loopback or address.is_unspecified:
        return text
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return f"::ffff:{_masked(str(address.ipv4_mapped))}"
    kept = 24 if address.version == 4 else 48
    return str(ipaddress.ip_network((text, kept), strict=False).network_address)


class _ClientFaults(logging.Filter):
    """uvicorn says each time that it could not read a client, and raises the alarm over text that is no UTF-8: whoever
    sends such things could fill the disk. One warning a kind and window is enough."""

    _KINDS = frozenset(
        {
            "Exceeded concurrency limit.",
            "Invalid HTTP request received.",
            "Invalid UTF-8 sequence received from client.",
            "Unsupported upgrade request.",
        }
    )
    #: What uvicorn adds to an upgrade where no WebSockets are served, which is meant so.
    _ADVICE = "No supported WebSocket library detected."

    def __init__(self, window: float = 60.0) -> None:
        """`window` in seconds."""
        super().__init__()
        self._window = window
        self._until: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg not in self._KINDS:
            return not str(record.msg).startswith(self._ADVICE)
        if record.created < self._until.get(record.msg, 0.0):
            return False
        self._until[record.msg] = record.created + self._window
        record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        record.exc_info = None
        return True


@dataclass(slots=True)
class _Row:
    until: float
    held_back: int = 0


class SampledLog:
    """Says a thing once per source and window, whatever the flood; the next line has the count of those held back.

    At most `rows` things are remembered. While that many windows are open new things are held back too: so there are
    at most `rows` lines in a window, from however many sources.
    """

    def __init__(self, logger: structlog.stdlib.BoundLogger, window: float = 60.0, rows: int = 256) -> None:
        """`window` in seconds."""
        self._logger = logger
        self._window = window
        self._most = rows
        self._rows: dict[tuple[str, str, bytes], _Row] = {}  # in the order in which their windows close
        self.held_back = 0

    def warning(self, now: float, event: str, source: str, *, kind: str = "", **fields: Any) -> None:
        """Logs the event about a source address; `now` is monotonic, in seconds. `kind` tells apart what has one name
        and means different things."""
        key = (event, kind, source_prefix(source))
        row = self._rows.get(key)
        if row is not None and now < row.until:
            row.held_back += 1
            self.held_back += 1
            return
        if row is None and not self._make_room(now):
            self.held_back += 1
            return
        if row is not None:
            del self._rows[key]
            if row.held_back:
                fields["held_back"] = row.held_back
        self._rows[key] = _Row(now + self._window)
        self._logger.warning(event, source=source, **fields)

    def _make_room(self, now: float) -> bool:
        if len(self._rows) < self._most:
            return True
        oldest = next(iter(self._rows))
        if now < self._rows[oldest].until:
            return False
        del self._rows[oldest]
        return True
