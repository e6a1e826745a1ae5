"""Token buckets: how fast somebody may go on, and how long they have to wait otherwise.

A bucket is one number: the moment at which it will be full again. A full one lies in the past. Moments are seconds of
one monotonic clock.
"""

import hashlib
from array import array
from typing import NamedTuple

#: Half a token of slack, lest rounding eat the last one.
_SLACK = 0.5


class Rate(NamedTuple):
    """`per_second` tokens flow in, at most `burst` are kept; 0 per second is no limit at all."""

    per_second: float
    burst: float


UNLIMITED = Rate(0, 0)


class TokenBucket:
    """One bucket, full at first."""

    __slots__ = ("_full_at",)

    def __init__(self) -> None:
        self._full_at = 0.0

    def take(self, rate: Rate, now: float, tokens: int = 1) -> float:
        """Takes so many tokens and returns 0.0, or takes none and returns the seconds until there are as many."""
        self._full_at, wait = _draw(rate, self._full_at, now, tokens)
        return wait


class BucketTable:
    """Buckets for keys that strangers choose, in a table that is allocated at once and never grows: a flood from a
    million addresses costs what a flood from one costs.

    Keys share a bucket when their keyed hashes meet; `secret` keeps an attacker from choosing with whom.
    """

    def __init__(self, slots: int, secret: bytes) -> None:
        self._secret = secret
        self._full_at = array("d", bytes(8 * slots))

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: bytes, rate: Rate, now: float) -> float:
        """As TokenBucket.take, for this key."""
        if not rate.per_second:
            return 0.0
        slot = self._slot(key)
        self._full_at[slot], wait = _draw(rate, self._full_at[slot], now)
        return wait

    def wait(self, key: bytes, rate: Rate, now: float) -> float:
        """What take would return; takes nothing."""
        return _draw(rate, self._full_at[self._slot(key)], now)[1] if rate.per_second else 0.0

    def _slot(self, key: bytes) -> int:
        digest = hashlib.blake2b(key, key=self._secret, digest_size=8).digest()
        return int.from_bytes(digest) % len(self._full_at)


def _draw(rate: Rate, full_at: float, now: float, tokens: int = 1) -> tuple[float, float]:
    """When the bucket will be full, and the wait."""
    per_second, burst = rate
    if not per_second:
        return full_at, 0.0
    if full_at < now:
        full_at = now
    missing = (full_at - now) * per_second
    if missing + tokens > burst + _SLACK:
        return full_at, (missing + tokens - burst) / per_second
    return full_at + tokens / per_second, 0.0
