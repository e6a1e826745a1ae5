"""Log records of the daemons, read back and shown to people."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.text import Text

from fairlead.log import printable

#: fields that have a place of their own
_KNOWN = ("timestamp", "level", "logger", "event")
_STYLES = {"debug": "dim", "info": "green", "warning": "yellow", "error": "bold red", "critical": "bold red"}
_ALARMING = ("error", "critical")


class Record(NamedTuple):
    """One JSON line of fairlead.log."""

    time: str
    level: str
    logger: str
    event: str
    fields: dict[str, Any]


def parse_record(line: str) -> Record | None:
    """None for what is no record: a traceback, a message from before the log was set up."""
    if not line.startswith("{"):
        return None
    try:
        members = json.loads(line)
    except ValueError:
        return None
    if not isinstance(members, dict) or "event" not in members:
        return None
    time, level, logger, event = (str(members.get(name, "")) for name in _KNOWN)
    return Record(time, level, logger, event, {name: members[name] for name in members if name not in _KNOWN})


def for_people(record: Record) -> Text:
    """`10:15:02 warning  reply not sent  source=192.0.2.1 reason=unreachable`."""
    clock = record.time.partition("T")[2][:8]
    text = Text.assemble((f"{clock} ", "dim"))
    text.append(f"{record.level:<7} ", style=_STYLES.get(record.level, ""))
    text.append(printable(record.event))
    for name, value in record.fields.items():
        if name == "exception":
            text.append("\n" + "\n".join(printable(line) for line in str(value).splitlines()))
        else:
            text.append(f"  {printable(name)}=", style="dim")
            text.append(printable(value if isinstance(value, str) else json.dumps(value)))
    return text


def cause(lines: Sequence[str]) -> list[str]:
    """Why a process ended, from its last lines: what its errors say, else what it wrote last."""
    records = [record for record in map(parse_record, lines) if record is not None and record.level in _ALARMING]
    told = [_complaint(record) for record in records]
    if told:
        return told
    others = [printable(line) for line in lines if line.strip() and parse_record(line) is None]
    return others or ["it said nothing"]


def _complaint(record: Record) -> str:
    """The problem in words; of an exception, its last line."""
    if "problem" in record.fields:
        return printable(str(record.fields["problem"]))
    last = str(record.fields.get("exception", "")).rstrip().rpartition("\n")[2]
    return printable(f"{record.event}: {last}" if last else record.event)
