"""An engine that panics again and again does not fill the disk."""

import logging

import pytest

from fairlead.log import get_logger
from fairlead.native.faults import WINDOW, FaultLog


@pytest.mark.logs_error("panicked")
def test_a_window_has_one_line(caplog: pytest.LogCaptureFixture) -> None:
    log = FaultLog(get_logger("turnd"))
    for after in (0.0, 0.1, WINDOW - 0.1, WINDOW, WINDOW + 0.1):
        log.write(3, "index out of bounds at packets.rs:1", 100.0 + after)
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "packets.rs:1" in caplog.records[0].getMessage()
