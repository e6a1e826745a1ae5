"""What must not happen inside the engine, written down."""

import structlog

#: Seconds in which one fault is written down; all are counted.
WINDOW = 10.0


class FaultLog:
    """Errors of an engine in a daemon's log: one line in each window, however often it happens."""

    def __init__(self, logger: structlog.stdlib.BoundLogger) -> None:
        self._logger = logger
        self._silent_until = 0.0

    def write(self, thread: int, text: str, now: float) -> None:
        """A thread has panicked; `text` says what and where, `now` is monotonic, in seconds."""
        if now >= self._silent_until:
            self._silent_until = now + WINDOW
            self._logger.error("a thread of the engine panicked and goes on", thread=thread, what=text)
