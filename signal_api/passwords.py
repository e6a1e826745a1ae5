"""Passwords of rooms: argon2id (RFC 9106), off the event loop, a few at a time.

A hash costs milliseconds and megabytes by design. So only two are computed at once, a bounded number waits, and who
guesses wrong often is not heard for a while.
"""

import asyncio

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from fairlead.buckets import BucketTable, Rate
from fairlead.clock import Entropy
from signal_api.protocol.refusals import ErrorCode, Refusal
from signal_api.timers import Clock

#: hashes computed at once, and passwords that wait for that
_AT_ONCE, _WAITING = 2, 32
#: rows of the table of those who guess
_ROWS = 4096

# OWASP's first choice for argon2id without a secure enclave: 19 MiB, two passes, one lane.
_hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
_BUSY = Refusal(
    ErrorCode.RATE_LIMITED, "too many passwords are being checked just now", 1.0, details={"limit": "passwords"}
)


class Passwords:
    """Makes and checks hashes for one node."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._guesses = BucketTable(_ROWS, entropy(16))
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def hash(self, password: str) -> str | Refusal:
        """What is kept of a password; a Refusal when too many wait for that."""
        if self._waiting >= _WAITING:
            return _BUSY
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(_hasher.hash, password)
        finally:
            self._waiting -= 1

    async def check(self, hashed: str, password: str, who: bytes, rate: Rate) -> bool | Refusal:
        """Whether this is the password. `rate` is how often `who` may be wrong; a Refusal when that was too often."""
        wait = self._guesses.wait(who, rate, self._clock.now().monotonic)
        if wait:
            wrong = "too many wrong passwords from you"
            return Refusal(ErrorCode.RATE_LIMITED, wrong, wait, details={"limit": "passwords"})
        if self._waiting >= _WAITING:
            return _BUSY
        self._waiting += 1
        try:
            async with self._turn:
                is_right = await asyncio.to_thread(_is_right, hashed, password)
        finally:
            self._waiting -= 1
        if not is_right:
            self._guesses.take(who, rate, self._clock.now().monotonic)
        return is_right


def _is_right(hashed: str, password: str) -> bool:
    try:
        return _hasher.verify(hashed, password)
    except VerifyMismatchError:
        return False
