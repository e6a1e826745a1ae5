import json
from typing import Any

import pytest

from fairlead_cli.up.records import cause, for_people, parse_record


def line(event: str, level: str = "info", **fields: Any) -> str:
    head = {"timestamp": "2025-11-22T10:15:02.123456Z", "level": level, "logger": "turnd", "event": event}
    return json.dumps(head | fields)


def shown(text: str) -> str:
    record = parse_record(text)
    assert record is not None
    return for_people(record).plain


def test_a_record_is_read_back() -> None:
    record = parse_record(line("ready", loop="uvloop"))
    assert record is not None
    assert (record.level, record.logger, record.event, record.fields) == ("info", "turnd", "ready", {"loop": "uvloop"})


@pytest.mark.parametrize("text", ["", "Traceback (most recent call last):", "{", "{}", '{"a": 1}', "[1]", '"event"'])
def test_everything_else_is_no_record(text: str) -> None:
    assert parse_record(text) is None


def test_a_record_in_words() -> None:
    text = line("reply not sent", "warning", source="192.0.2.1", held_back=3, on=["udp", "tcp"])
    assert shown(text) == '10:15:02 warning reply not sent  source=192.0.2.1  held_back=3  on=["udp", "tcp"]'


def test_a_traceback_stands_below() -> None:
    assert shown(line("failed", "error", exception="Traceback:\n  x\nE: y")).endswith("failed\nTraceback:\n  x\nE: y")


def test_the_cause_is_the_problem_that_an_error_names() -> None:
    lines = [line("ready"), line("cannot start", "error", problem="turnd.listen[0]: it is taken"), line("stopped")]
    assert cause(lines) == ["turnd.listen[0]: it is taken"]


def test_the_cause_is_the_last_line_of_an_exception() -> None:
    lines = [line("cannot start", "error", exception="Traceback:\n  x\nValueError: no address\n")]
    assert cause(lines) == ["cannot start: ValueError: no address"]


def test_the_cause_is_what_was_written_before_there_was_a_log() -> None:
    assert cause(["turnd: f.yaml:1:1: x: unknown key", line("stopped"), ""]) == ["turnd: f.yaml:1:1: x: unknown key"]
    assert cause([line("ready")]) == ["it said nothing"]


def test_strangers_cannot_write_to_the_terminal() -> None:
    assert "\x1b" not in shown(line("refused \x1b[31m", user="\x1b]0;title\x07"))
