"""Bytes that are the same in every run."""

import random

from fairlead.clock import Entropy


def dice(seed: int = 1) -> Entropy:
    """An entropy source that repeats itself from run to run."""
    return random.Random(seed).randbytes  # noqa: S311  # that it repeats is the point
