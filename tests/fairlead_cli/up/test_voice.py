import io
import sys

import pytest

from fairlead_cli.up.voice import Voice

RECORD = '{"timestamp": "2025-11-22T10:15:02Z", "level": "info", "logger": "x", "event": "ready", "on": ":smile:[b]"}'


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    """A terminal that was closed, or a pipe whose reader has left."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


def never() -> None:
    raise AssertionError("it was heard")


def test_lines_stand_under_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    voice = Voice(never)
    voice.say("starting")
    voice.relay("turnd", RECORD)
    voice.relay("signal_api", "x" * 500)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["fairlead   | starting", f"turnd      | {RECORD}", f"signal_api | {'x' * 500}"]


def test_what_was_asked_for_is_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    Voice(never).show("up")
    assert capsys.readouterr() == ("up\n", "")


def test_on_a_terminal_records_are_words_in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    voice = Voice(never)
    voice.relay("turnd", RECORD)
    voice.relay("turnd", "a traceback\x1b[2J")
    first, second = terminal.getvalue().splitlines()
    assert "\x1b[" in first
    assert "ready" in first
    assert ":smile:[b]" in first
    assert "{" not in first
    assert r"a traceback\x1b[2J" in second


def test_no_colour_where_somebody_asks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    Voice(never).say("starting")
    assert "\x1b[3" not in terminal.getvalue()


def test_when_nobody_hears_it_any_more_that_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Gone())
    told: list[str] = []
    voice = Voice(lambda: told.append("unheard"))
    voice.say("starting")
    voice.relay("turnd", RECORD)
    assert told == ["unheard"]
