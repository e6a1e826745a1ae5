"""The lull of a running event loop."""

import asyncio
import time
from collections.abc import Callable

from signal_api.transports.lull import Lull


class Breather:
    """Told of each parcel that comes, it lets the loop that runs rest where there is to be a lull. It sleeps in the
    thread of the loop: sockets are read together afterwards, and nothing less keeps the loop from waking for each."""

    def __init__(self, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep) -> None:
        self._lull = Lull()
        self._now = now
        self._sleep = sleep

    def heard(self) -> None:
        if self._lull.heard(self._now()):
            # What this turn has to say is written by then.
            asyncio.get_running_loop().call_soon(self._rest)

    def _rest(self) -> None:
        wait = self._lull.rest(self._now())
        if wait:
            self._sleep(wait)
