"""The machine's clocks and dice, read nowhere else."""

import os
import time

from fairlead.clock import Now


class SystemClock:
    """What the shells hand to the pure code: the moment, and unpredictable bytes."""

    #: that of `now`; nothing stands between who asks and the machine, since every frame does
    monotonic = staticmethod(time.monotonic)
    #: satisfies fairlead.clock.Entropy
    entropy = staticmethod(os.urandom)

    def now(self) -> Now:
        return tuple.__new__(Now, (time.monotonic(), time.time()))  # as Now() makes it, in half the time
