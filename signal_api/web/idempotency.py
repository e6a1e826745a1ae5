"""Requests that are repeated take effect once: the header Idempotency-Key, and what it was answered with."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

from signal_api.protocol.refusals import ErrorCode, Refusal
from signal_api.timers import Clock
from signal_api.web.problems import RefusedError

T = TypeVar("T")

HEADER = "idempotency-key"
#: answers that are remembered at once, besides those that are awaited, and for how long (seconds)
MOST, REMEMBERED_FOR = 4096, 120.0
#: characters that a key has at most, and at least where strangers choose it
LONGEST, SHORTEST = 128, 16


class _Known(NamedTuple, Generic[T]):
    body: bytes
    until: float
    answer: "asyncio.Future[T]"


class Repeats(Generic[T]):
    """The answers to requests, by who made them and the key that they chose."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: OrderedDict[tuple[str, ...], _Known[T]] = OrderedDict()

    async def once(self, key: tuple[str, ...], body: bytes, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` answered the first time; who repeats meanwhile waits for that. An attempt that failed is no
        answer. Raises RefusedError for the same key with another body."""
        digest = digest_of(body)
        known = self.known(key, digest)
        if known is not None:
            return await asyncio.shield(known)
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._known[key] = _Known(digest, self._clock.now().monotonic + REMEMBERED_FOR, answer)
        try:
            answer.set_result(await work())
        except BaseException as error:
            del self._known[key]
            answer.set_exception(_again() if isinstance(error, asyncio.CancelledError) else error)
            answer.exception()  # Nobody has to be waiting for it.
            raise
        return answer.result()

    def known(self, key: tuple[str, ...], digest: bytes) -> "asyncio.Future[T] | None":
        """The answer that there is, or will be; None when nobody has asked yet. Raises RefusedError as `once` does."""
        self._forget(self._clock.now().monotonic)
        known = self._known.get(key)
        if known is not None and known.body != digest:
            raise RefusedError(Refusal(ErrorCode.CONFLICT, "this Idempotency-Key came with another request"))
        return known.answer if known is not None else None

    def _forget(self, now: float) -> None:
        """What is still being done stays, or it would be done twice."""
        surplus, over = len(self._known) + 1 - MOST, list[tuple[str, ...]]()
        for key, known in self._known.items():
            if known.until > now and len(over) >= surplus:
                break
            if known.answer.done():
                over.append(key)
        for key in over:
            del self._known[key]


def digest_of(body: bytes) -> bytes:
    """What is remembered of a request."""
    return hashlib.sha256(body).digest()


def read_key(header: str | None, shortest: int = 1) -> str | None:
    """The value of the header; raises RefusedError for one that is none."""
    if header is None:
        return None
    if not shortest <= len(header) <= LONGEST or not all("!" <= character <= "~" for character in header):
        wrong = f"Idempotency-Key is {shortest} to {LONGEST} printable characters without spaces; a UUID is a good one"
        raise RefusedError(Refusal(ErrorCode.BAD_REQUEST, wrong))
    return header


def _again() -> RefusedError:
    return RefusedError(Refusal(ErrorCode.INTERNAL, "the first attempt was broken off; try again", 1.0))
