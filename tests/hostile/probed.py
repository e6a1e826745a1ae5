"""signal_api, and how long the turns of its event loop take: who holds a turn for long holds up everybody.

python -m tests.hostile.probed --config FILE
"""

import asyncio
import sys
import time

from fairlead.config import Loaded
from fairlead.daemon import Context, run
from signal_api.config import SignalApiSettings
from signal_api.server import SignalApi

#: seconds between two looks
_TICK = 0.001


class Probe:
    """CPU seconds of the loop's thread between two looks: never less than a turn in between, and next to nothing more.
    What others do to the cores meanwhile does not count."""

    def __init__(self) -> None:
        self._longest = 0.0
        self._loop = asyncio.get_running_loop()
        self._begin()

    def longest(self) -> int:
        """The most since this was asked last, in microseconds; what asking costs does not count."""
        longest, self._longest = self._longest, 0.0
        self._timer.cancel()
        # The reply is made in this turn.
        self._loop.call_soon(self._begin)
        return round(longest * 1e6)

    def _begin(self) -> None:
        self._last = time.thread_time()
        self._timer = self._loop.call_later(_TICK, self._look)

    def _look(self) -> None:
        self._longest = max(self._longest, time.thread_time() - self._last)
        self._begin()


class Probed(SignalApi):
    """The daemon, with one number more on its ops port."""

    async def start(self, loaded: Loaded[SignalApiSettings], context: Context) -> None:
        await super().start(loaded, context)
        text = "CPU of the longest turn since the last scrape."
        context.metrics.gauge("longest_turn_microseconds", text, Probe().longest)


if __name__ == "__main__":
    sys.exit(run(Probed()))
