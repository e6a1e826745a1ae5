"""Passwords of rooms: argon2id (RFC 9106), off the event loop, a few at a time.

A hash costs milliseconds and megabytes by design. So only two are computed at once, a bounded number waits, and who
guesses wrong often is not heard for a while. What has proved to be right is remembered, by a digest under a key of this
process: a whole room comes back at once after a restart.
"""

import asyncio
import hashlib
import hmac
from collections import OrderedDict
from collections.abc import Callable

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from fairlead.buckets import BucketTable, Rate
from fairlead.clock import Entropy
from signal_api.protocol.refusals import ErrorCode, Refusal
from signal_api.timers import Clock

#: hashes computed at once
_AT_ONCE = 2
#: hashes of which the password is remembered
_PROVEN = 1024
#: rows of the table of those who guess
_ROWS = 4096

# OWASP's first choice for argon2id without a secure enclave: 19 MiB, two passes, one lane.
_hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
_BUSY = Refusal(
    ErrorCode.RATE_LIMITED, "too many passwords are being checked just now", 1.0, details={"limit": "hashes"}
)


class Passwords:
    """Makes and checks hashes for one node; `most` says how many passwords may wait for that."""

    def __init__(self, clock: Clock, entropy: Entropy, most: Callable[[], int]) -> None:
        self._clock = clock
        self._most = most
        self._key = entropy(32)
        self._proven: OrderedDict[str, bytes] = OrderedDict()
        self._guesses = BucketTable(_ROWS, entropy(16))
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def hash(self, password: str) -> str | Refusal:
        """What is kept of a password; a Refusal when too many wait for that."""
        if self._waiting >= self._most():
            return _BUSY
        self._waiting += 1
        try:
            async with self._turn:
                hashed = await asyncio.to_thread(_hasher.hash, password)
        finally:
            self._waiting -= 1
        self._remember(hashed, password)
        return hashed

    async def check(self, hashed: str, password: str, who: bytes, rate: Rate) -> bool | Refusal:
        """Whether this is the password. `rate` is how often `who` may be wrong; a Refusal when that was too often."""
        refusal = self._too_often(who, rate)
        if refusal is not None or self._is_known(hashed, password):
            return refusal or True
        if self._waiting >= self._most():
            return _BUSY
        self._waiting += 1
        try:
            async with self._turn:
                return await self._check(hashed, password, who, rate)
        finally:
            self._waiting -= 1

    async def _check(self, hashed: str, password: str, who: bytes, rate: Rate) -> bool | Refusal:
        """Whoever was before may have proved the same, or was wrong too often."""
        if self._is_known(hashed, password):
            return True
        refusal = self._too_often(who, rate)
        if refusal is not None:
            return refusal
        is_right = await asyncio.to_thread(_is_right, hashed, password)
        if is_right:
            self._remember(hashed, password)
        else:
            self._guesses.take(who, rate, self._clock.now().monotonic)
        return is_right

    def _too_often(self, who: bytes, rate: Rate) -> Refusal | None:
        wait = self._guesses.wait(who, rate, self._clock.now().monotonic)
        if not wait:
            return None
        wrong = "too many wrong passwords from you"
        return Refusal(ErrorCode.RATE_LIMITED, wrong, wait, details={"limit": "passwords"})

    def _is_known(self, hashed: str, password: str) -> bool:
        proven = self._proven.get(hashed)
        return proven is not None and hmac.compare_digest(proven, self._digest(password))

    def _remember(self, hashed: str, password: str) -> None:
        self._proven[hashed] = self._digest(password)
        self._proven.move_to_end(hashed)
        if len(self._proven) > _PROVEN:
            self._proven.popitem(last=False)

    def _digest(self, password: str) -> bytes:
        return hashlib.blake2b(password.encode(), key=self._key, digest_size=32).digest()


def _is_right(hashed: str, password: str) -> bool:
    try:
        return _hasher.verify(hashed, password)
    except VerifyMismatchError:
        return False
