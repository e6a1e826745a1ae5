"""How late the event loop is: the first thing to know when a daemon is slow."""

import asyncio

from fairlead.metrics import LAGS, Metrics

_INTERVAL = 0.25


class LagSampler:
    """Measures four times a second by how much a timer comes late."""

    def __init__(self, metrics: Metrics) -> None:
        text = (
            "By how many seconds the event loop came late to a timer. Often above 0.1: this process has too much to do."
        )
        self._histogram = metrics.histogram("loop_lag_seconds", text, LAGS)[()]
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + _INTERVAL
        self._timer = loop.call_at(due, self._sample, loop, due)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _sample(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self._histogram.observe(max(0.0, loop.time() - due))
        self.start()
