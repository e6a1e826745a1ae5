"""The lull of a running event loop."""

import asyncio
import time
from collections.abc import Callable

from signal_api.transports.lull import Lull


class Breather:
    """Told of each parcel that comes, it lets the loop that runs rest where there is to be a lull. It sleeps in the
    thread of the loop: sockets are read together afterwards, and nothing less keeps the loop from waking for each.

    `begin` is called at the first parcel of a turn that is followed by a lull, `end` when all of the turn is done,
    before the lull. There is none while `is_awaited`: what waits for the next turn would wait for the lull as well.
    """

    def __init__(
        self,
        begin: Callable[[], None],
        end: Callable[[], None],
        is_awaited: Callable[[], bool],
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._lull = Lull()
        self._begin = begin
        self._end = end
        self._is_awaited = is_awaited
        self._now = now
        self._sleep = sleep

    def heard(self) -> None:
        lull = self._lull
        if lull.is_open:
            lull.count += 1
        elif lull.heard(self._now()):
            self._begin()
            asyncio.get_running_loop().call_soon(self._rest)

    def _rest(self) -> None:
        self._end()
        wait = self._lull.rest(self._now())
        if wait and not self._is_awaited():
            self._sleep(wait)
