"""An ERROR record during a test fails it, whoever logged it and wherever it went."""

import logging
import re
from collections.abc import Generator
from typing import Any

import pytest
import structlog

_records: list[logging.LogRecord] = []


@pytest.fixture(scope="session", autouse=True)
def _listening() -> Generator[None]:
    """Hears every record as it is made, so that no logger's settings can hide one."""
    make_record = logging.getLogRecordFactory()

    def listen(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make_record(*args, **kwargs)
        # logging.makeLogRecord, which formatters copy records with, begins with one that has no level.
        if (record.levelno or logging.NOTSET) >= logging.ERROR:
            _records.append(record)
        return record

    logging.setLogRecordFactory(listen)
    # Until fairlead.log.configure is called, structlog would print past the standard library.
    structlog.configure(
        processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    yield
    logging.setLogRecordFactory(make_record)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    yield
    patterns = _patterns(item)
    heard = [record.getMessage() for record in _records]
    _judge(patterns)
    silent = [pattern for pattern in patterns if not any(re.search(pattern, message) for message in heard)]
    if silent:
        pytest.fail(f"expected an ERROR record that matches {' and '.join(silent)}; heard {heard}", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    yield
    _judge(_patterns(item))


def _patterns(item: pytest.Item) -> list[str]:
    return [str(marker.args[0]) for marker in item.iter_markers("logs_error")]


def _judge(patterns: list[str]) -> None:
    unexpected = [r for r in _records if not any(re.search(pattern, r.getMessage()) for pattern in patterns)]
    _records.clear()
    if unexpected:
        form = logging.Formatter("%(levelname)s %(name)s: %(message)s")
        pytest.fail("logged during the test:\n" + "\n".join(map(form.format, unexpected)), pytrace=False)
