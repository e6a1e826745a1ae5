import fcntl
import io
import itertools
import json
import logging
import os
from collections.abc import Iterator
from typing import Any, Literal, TextIO

import pytest

from fairlead.config import LogSettings
from fairlead.datagram import Address
from fairlead.log import SampledLog, configure, get_logger, mask_addresses, printable


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def stream(
    target: io.StringIO,
    form: Literal["auto", "json", "console"] = "json",
    level: Literal["debug", "info", "warning", "error"] = "info",
    mask_addresses: bool = False,
) -> None:
    configure(LogSettings(format=form, level=level, mask_addresses=mask_addresses), target)


def records(target: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in target.getvalue().splitlines()]


def test_json_is_one_line_a_record_with_time_level_logger_and_event_first() -> None:
    target = io.StringIO()
    stream(target)
    get_logger("test").info("hello", client=Address("192.0.2.7", 5), count=3)
    (record,) = records(target)
    assert list(record) == ["timestamp", "level", "logger", "event", "client", "count"]
    assert record["timestamp"].endswith("Z")
    assert record["count"] == 3
    assert (record["level"], record["logger"], record["event"]) == ("info", "test", "hello")


def test_records_of_others_look_like_ours() -> None:
    target = io.StringIO()
    stream(target)
    logging.getLogger("asyncio").warning("took %s seconds", 3)
    (record,) = records(target)
    assert (record["event"], record["logger"], record["level"]) == ("took 3 seconds", "asyncio", "warning")


def test_an_exception_stays_on_its_line() -> None:
    target = io.StringIO()
    stream(target)
    try:
        raise ValueError("inside")
    except ValueError:
        get_logger("test").warning("caught", exc_info=True)
    (record,) = records(target)
    assert "ValueError: inside" in record["exception"]


def test_auto_is_json_but_on_a_terminal() -> None:
    target, terminal = io.StringIO(), Terminal()
    stream(target, "auto")
    get_logger("test").info("hello")
    assert records(target)
    stream(terminal, "auto")
    get_logger("test").info("hello")
    assert "hello" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")


def test_strangers_cannot_write_to_the_terminal() -> None:
    assert printable("a\x1b[2Jb\r\n\x07\u202e") == r"a\x1b[2Jb\r\n\x07\u202e"
    assert printable("grün 火") == "grün 火"
    target = io.StringIO()
    stream(target, "console")
    get_logger("test").warning("not authenticated", user="\x1b]0;title\x07\n2026-11-23 [error] forged", why="\x9b2J")
    assert target.getvalue().count("\n") == 1
    assert target.getvalue().rstrip("\n").isprintable()


def test_a_traceback_for_people_shows_no_values() -> None:
    """A password is a local variable of whoever reads it."""
    target = io.StringIO()
    stream(target, "console")
    password = "".join(("s3", "cr3t"))
    try:
        raise ValueError(f"a password of {len(password)} characters")
    except ValueError:
        get_logger("test").warning("caught", exc_info=True)
    assert "ValueError: a password of 6 characters\n" in target.getvalue()
    assert target.getvalue().count("\n") > 3, "it has its lines"
    assert password not in target.getvalue()


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """What is read, and what a daemon has for its standard error."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with open(writing, "w") as target:
        yield reading, target
        os.close(reading)


def test_nobody_who_logs_waits_for_a_reader(pipe: tuple[int, TextIO]) -> None:
    """turnd stopped to answer after 127 allocations where its standard error was a pipe that nobody read."""
    reading, target = pipe
    configure(LogSettings(format="json"), target)
    for number in range(3000):
        get_logger("test").info("hello", number=number, text="x" * 50)
    lines = os.read(reading, 1 << 20).splitlines()
    get_logger("test").info("again")
    lost, again = os.read(reading, 1 << 20).splitlines()
    assert [json.loads(line)["number"] for line in lines] == list(range(len(lines)))
    assert json.loads(lost)["level"] == "warning"
    assert json.loads(lost)["lines"] + len(lines) == 3000
    assert json.loads(again)["event"] == "again"


def test_each_line_that_is_lost_is_told_once(pipe: tuple[int, TextIO]) -> None:
    """There is room for the notice, and then none for the line behind it."""
    reading, target = pipe
    fcntl.fcntl(target, fcntl.F_SETPIPE_SZ, 4096)
    configure(LogSettings(format="json"), target)
    arrived = told = 0
    for _ in range(10):
        for _ in range(10):
            get_logger("test").info("hello")
        lines = [json.loads(line) for line in os.read(reading, 1 << 20).splitlines()]
        arrived += sum(line["event"] == "hello" for line in lines)
        told += sum(line.get("lines", 0) for line in lines)
    get_logger("test").info("again")
    told += json.loads(os.read(reading, 1 << 20).splitlines()[0])["lines"]
    assert arrived > 0
    assert arrived + told == 100


def test_a_line_that_was_cut_has_an_end(pipe: tuple[int, TextIO]) -> None:
    reading, target = pipe
    configure(LogSettings(format="json"), target)
    for text in ("x" * 500_000, "y"):
        get_logger("test").info(text)
    assert b"lost" not in os.read(reading, 1 << 20)
    get_logger("test").info("again")
    end, lost, again = os.read(reading, 1 << 20).splitlines()
    assert (end, json.loads(lost)["lines"], json.loads(again)["event"]) == (b"", 2, "again")


def test_a_reader_that_is_gone_is_not_missed(pipe: tuple[int, TextIO], capfd: pytest.CaptureFixture[str]) -> None:
    reading, target = pipe
    configure(LogSettings(format="json"), target)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, reading)
    os.close(null)
    get_logger("test").info("hello")
    target.close()
    get_logger("test").info("hello")
    assert capfd.readouterr() == ("", "")


def test_configuring_again_replaces() -> None:
    first, second = io.StringIO(), io.StringIO()
    stream(first)
    stream(second, level="warning")
    get_logger("test").info("not this")
    get_logger("test").warning("this")
    assert first.getvalue() == ""
    assert [record["event"] for record in records(second)] == ["this"]


def test_secrets_are_starred() -> None:
    target = io.StringIO()
    stream(target)
    get_logger("test").info("login", password="s3cr3t", token="s3cr3t", authorization="s3cr3t", user="u")
    assert "s3cr3t" not in target.getvalue()
    assert records(target)[0]["user"] == "u"


def test_no_access_log_since_query_strings_are_secret() -> None:
    target = io.StringIO()
    stream(target, level="debug")
    logging.getLogger("uvicorn.access").info("GET /v1/ws?token=s3cr3t")
    assert target.getvalue() == ""


@pytest.mark.parametrize("level", ["info", "debug"])
@pytest.mark.parametrize("name", ["httpx", "httpcore.http11", "uvicorn.error"])
def test_what_is_asked_and_read_over_http_is_secret_as_well(name: str, level: Literal["info", "debug"]) -> None:
    """httpx tells of each request with the whole address, uvicorn of each WebSocket, and the library of each frame."""
    target = io.StringIO()
    stream(target, level=level)
    logger = logging.getLogger(name)
    if name == "httpx":
        logger.info('HTTP Request: POST https://user:s3cr3t@app.example/hook "HTTP/1.1 200 OK"')
    if name == "uvicorn.error":
        logger.info('198.51.100.7:5000 - "WebSocket /peerjs?token=s3cr3t" [accepted]')
    logger.debug("< TEXT s3cr3t")
    assert target.getvalue() == ""


@pytest.mark.logs_error("Invalid UTF-8")
def test_clients_cannot_fill_the_log_through_the_http_server() -> None:
    """Nor wake anybody: uvicorn reports text that is no UTF-8 as an ERROR with a traceback."""
    target = io.StringIO()
    stream(target)
    server = logging.getLogger("uvicorn.error")
    for _ in range(100):
        server.warning("Invalid HTTP request received.")
        try:
            b"\xff".decode()
        except UnicodeDecodeError:
            server.exception("Invalid UTF-8 sequence received from client.")
    server.warning("anything else")
    server.warning("anything else")
    lines = records(target)
    assert [line["level"] for line in lines] == ["warning"] * 4
    assert not any("exception" in line for line in lines)


@pytest.mark.parametrize("form", ["json", "console"])
def test_addresses_are_masked_wherever_they_stand(form: Literal["json", "console"]) -> None:
    target = io.StringIO()
    stream(target, form, mask_addresses=True)
    try:
        raise ValueError("from 192.0.2.77")
    except ValueError:
        get_logger("test").warning("caught 192.0.2.77", exc_info=True, client=Address("192.0.2.77", 5), n=77)
    logging.getLogger("asyncio").warning("peer %s", "[2001:db8:1:2::77]:9")
    assert "192.0.2.77" not in target.getvalue()
    assert "192.0.2.0" in target.getvalue()
    assert "[2001:db8:1::]:9" in target.getvalue()
    assert "::77" not in target.getvalue()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("192.0.2.77", "192.0.2.0"),
        ("192.0.2.77:5349.", "192.0.2.0:5349."),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("[2001:db8::1]:3478", "[2001:db8::]:3478"),
        ("fe80::1%2", "fe80::%2"),
        ("::ffff:192.0.2.77", "::ffff:192.0.2.0"),
        ("127.0.0.1 and ::1 and 0.0.0.0", "127.0.0.1 and ::1 and 0.0.0.0"),
        ("at 12:34:56 version 1.2.3 of a1.2.3.4", "at 12:34:56 version 1.2.3 of a1.2.3.4"),
        ("999.1.1.1", "999.1.1.1"),
    ],
)
def test_masks(text: str, masked: str) -> None:
    assert mask_addresses(text) == masked


class TestSampledLog:
    @pytest.fixture
    def target(self) -> io.StringIO:
        target = io.StringIO()
        stream(target)
        return target

    def test_one_line_a_source_and_window_then_the_count_of_the_others(self, target: io.StringIO) -> None:
        sampled = SampledLog(get_logger("test"), window=10)
        for second in range(10):
            sampled.warning(second, "bad", "192.0.2.1", port=second)
        sampled.warning(10, "bad", "192.0.2.1")
        first, second_line = records(target)
        assert (first["source"], first["port"]) == ("192.0.2.1", 0)
        assert "held_back" not in first
        assert second_line["held_back"] == 9
        assert sampled.held_back == 9

    def test_events_sources_and_kinds_are_told_apart(self, target: io.StringIO) -> None:
        sampled = SampledLog(get_logger("test"))
        for event, kind, source in itertools.product(("bad", "worse"), ("a", "b"), ("192.0.2.1", "192.0.2.2")):
            for _ in range(2):
                sampled.warning(0, event, source, kind=kind)
        assert len(records(target)) == 8
        assert sampled.held_back == 8

    def test_a_window_that_is_over_makes_room(self, target: io.StringIO) -> None:
        sampled = SampledLog(get_logger("test"), window=10, rows=2)
        for now, number in ((0, 1), (5, 2), (9, 3), (10, 3), (14, 4), (15, 4)):
            sampled.warning(now, "bad", f"192.0.2.{number}", at=now)
        assert [line["at"] for line in records(target)] == [0, 5, 10, 15]

    def test_a_flood_from_everywhere_fills_no_more_than_the_table(self, target: io.StringIO) -> None:
        sampled = SampledLog(get_logger("test"), window=60, rows=16)
        for number in range(10_000):
            sampled.warning(1.0, "bad", f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
        assert len(records(target)) == 16
        assert sampled.held_back == 10_000 - 16
