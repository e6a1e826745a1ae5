"""The machine's clocks and dice, read nowhere else."""

import os
import time

from fairlead.clock import Now


class SystemClock:
    """What the shells hand to the pure code: the moment, and unpredictable bytes."""

    def now(self) -> Now:
        return tuple.__new__(Now, (time.monotonic(), time.time()))  # as Now() makes it, in half the time

    def monotonic(self) -> float:
        return time.monotonic()

    def entropy(self, length: int) -> bytes:
        """Satisfies fairlead.clock.Entropy."""
        return os.urandom(length)
