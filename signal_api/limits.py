"""Token buckets: how fast a session or a source may go on, and how long it has to wait otherwise."""

import hashlib
import math
from array import array
from typing import NamedTuple


class Rate(NamedTuple):
    """`per_second` tokens flow in, at most `burst` are kept."""

    per_second: float
    burst: float


class TokenBucket:
    """One bucket, full at first. Times are in seconds of one monotonic clock."""

    __slots__ = ("_level", "_updated")

    def __init__(self, rate: Rate, now: float) -> None:
        self._level = rate.burst
        self._updated = now

    def take(self, rate: Rate, now: float) -> float:
        """Takes a token and returns 0.0, or takes none and returns the seconds until there is one."""
        self._level, wait = _draw(rate, self._level, now - self._updated)
        self._updated = now
        return wait


class BucketTable:
    """Buckets for keys that strangers choose, in a table whose size is fixed.

    Keys share a bucket when their keyed hashes meet; `secret` (16 bytes) keeps an attacker from choosing with whom.
    """

    def __init__(self, slots: int, secret: bytes) -> None:
        self._secret = secret
        self._levels = array("d", [math.inf]) * slots
        self._updated = array("d", [0.0]) * slots

    def take(self, key: bytes, rate: Rate, now: float) -> float:
        """As TokenBucket.take, for this key."""
        digest = hashlib.blake2b(key, key=self._secret, digest_size=8).digest()
        slot = int.from_bytes(digest) % len(self._levels)
        self._levels[slot], wait = _draw(rate, self._levels[slot], now - self._updated[slot])
        self._updated[slot] = now
        return wait


def _draw(rate: Rate, level: float, elapsed: float) -> tuple[float, float]:
    level = min(rate.burst, level + max(0.0, elapsed) * rate.per_second)
    if level >= 1:
        return level - 1, 0.0
    return level, (1 - level) / rate.per_second
