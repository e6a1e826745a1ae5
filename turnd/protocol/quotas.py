"""How many allocations there may be: per user id, per source, in all.

A claim belongs to the allocation that it was made for and is returned when that allocation ends, by whatever way,
and never before (a mobile client's connection may close while its allocation lives on).
"""

import enum
import math
from bisect import bisect_left, bisect_right
from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from fairlead.clock import Now
from fairlead.sources import source_prefix

K = TypeVar("K", bound=Hashable)


#: How many ports of a user may rest, for each that the user may have at once: who reconnects leaves one behind every
#: time.
_RESTING = 4


class QuotaScope(enum.StrEnum):
    """Which limit was reached."""

    USER = "user"
    SOURCE = "source"
    TOTAL = "total"


class Limits(NamedTuple):
    """Numbers of objects; 0 is no limit.

    One browser opens several allocations for a call and keeps one, so `burst` allocations more than the limit per
    user and per source are given as long as they are young: the limit counts those older than `burst_seconds`, limit
    plus burst counts all. `allocations` is what the machine can bear and knows no burst.
    """

    allocations: int = 0
    allocations_per_user: int = 0
    allocations_per_source: int = 0
    burst: int = 0
    burst_seconds: float = 0.0

    @property
    def resting_per_user(self) -> float:
        """How many ports that a user has given back may rest at once, before that user is given others."""
        return _RESTING * (self.allocations_per_user + self.burst) if self.allocations_per_user else math.inf


class Claim(NamedTuple):
    """One allocation's share of the quotas: kept by the allocation, given back by Quotas.release when it ends."""

    user_id: str
    source: bytes
    at: float


class _Tally(Generic[K]):
    """When the living claims of each key were made, in order."""

    def __init__(self) -> None:
        self._times: dict[K, list[float]] = {}

    def count(self, key: K) -> int:
        return len(self._times.get(key, ()))

    def is_full(self, key: K, limit: int, burst: int, old: float) -> bool:
        """Whether as many as `limit` were made up to the moment `old`, or limit + burst at all."""
        if not limit:
            return False
        times = self._times.get(key, [])
        return len(times) >= limit + burst or bisect_right(times, old) >= limit

    def add(self, key: K, at: float) -> None:
        self._times.setdefault(key, []).append(at)

    def remove(self, key: K, at: float) -> None:
        times = self._times.get(key, [])
        index = bisect_left(times, at)
        # What was never claimed cannot be given back: the numbers would be wrong for ever.
        if index == len(times) or times[index] != at:
            raise ValueError(f"{key!r} has no claim made at {at}")
        del times[index]
        if not times:
            del self._times[key]


class Quotas:
    """Who has how many allocations. `limits` may be exchanged at any time; it judges what is claimed from then on."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._total = 0
        self._users: _Tally[str] = _Tally()
        self._sources: _Tally[bytes] = _Tally()

    def __len__(self) -> int:
        """Allocations in all."""
        return self._total

    def of_user(self, user_id: str) -> int:
        """Allocations of one user id."""
        return self._users.count(user_id)

    def claim(self, user_id: str, host: str, now: Now) -> Claim | QuotaScope:
        """Room for one more allocation of this user at this client host, or the limit that forbids it (486)."""
        limits, source = self.limits, source_prefix(host)
        old = now.monotonic - limits.burst_seconds
        if limits.allocations and self._total >= limits.allocations:
            return QuotaScope.TOTAL
        if self._users.is_full(user_id, limits.allocations_per_user, limits.burst, old):
            return QuotaScope.USER
        if self._sources.is_full(source, limits.allocations_per_source, limits.burst, old):
            return QuotaScope.SOURCE
        self._total += 1
        self._users.add(user_id, now.monotonic)
        self._sources.add(source, now.monotonic)
        return Claim(user_id, source, now.monotonic)

    def release(self, claim: Claim) -> None:
        """Gives a claim back; once, by the end of its allocation."""
        self._users.remove(claim.user_id, claim.at)
        self._sources.remove(claim.source, claim.at)
        self._total -= 1
