"""The way to Redis: scripts with a deadline, and one kind of error for everything that can go wrong on it."""

import asyncio
import contextlib
import math
import ssl
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    InvalidResponse,
    NoScriptError,
    RedisError,
    ResponseError,
)

from fairlead.log import get_logger
from signal_api.engine.redis.meters import Meters
from signal_api.engine.redis.scripts import digest_of
from signal_api.protocol.refusals import EngineUnavailableError

#: seconds that a call may take; whoever waits for a join is answered within one
PATIENCE = 0.7
#: of them, seconds that are left for the way back: what begins later has no effect
_WAY_BACK = 0.3
#: calls that are on their way at once, each on a connection of its own, and seconds that others wait until they are:
#: together with the call it is what the engine's promise leaves
_CALLS, _WAIT = 32, 0.3
#: one more for the beats of the node, which wait for nobody
_CONNECTIONS = _CALLS + 1
#: seconds that connections have to close that are not used any more
_CLOSING = 0.1
#: how replies begin that say no for a while: to a Redis that is busy, full, or not the first of its kind just now
_PASSING = ("BUSY", "CLUSTERDOWN", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY", "TRYAGAIN")

#: records that cannot be read, of which the log speaks
_SAID = 1024

T = TypeVar("T")

_log = get_logger("signal_api.engine")


class LostError(EngineUnavailableError):
    """Redis does not know this node: what it knew is gone, or another node took this one for dead."""


class BarredError(EngineUnavailableError):
    """Who answers there is not our Redis, or does not let us in, and to wait does not help: what is configured is
    wrong, here or there."""


class Store:
    """Runs scripts in the name of a node."""

    def __init__(self, url: str, prefix: str, meters: Meters, patience: float = PATIENCE) -> None:
        """`patience` is how many seconds a call may take."""
        self.meters = meters
        #: the name of this node, until Redis forgets it
        self.node = ""
        #: after a call that was not answered, until somebody finds that calls are answered again
        self.is_away = False
        #: set when there is something to look into before the next beat
        self.alarm = asyncio.Event()
        self.prefix = f"{prefix}:"
        #: milliseconds by which the clock of Redis is ahead of the event loop's
        self._ahead = -math.inf
        self._url = url
        self._patience = patience
        #: where Redis is, without how to get in
        self.place = place_of(url)
        self._turns = asyncio.Semaphore(_CALLS)
        self._redis = _connect(url, _CONNECTIONS, patience, patience)
        self._reader = _connect(url, 1, patience, None)
        self._said: set[str] = set()
        #: pools that are not used any more, while those who wait on them are answered
        self._leaving: set[asyncio.Task[None]] = set()

    async def run(self, script: str, *arguments: Any) -> Any:
        """The reply; raises EngineUnavailableError when there is none in time, and then it has no effect later. That
        too many calls wait is no silence of Redis: the others go on."""
        self._expect_answers()
        try:
            async with asyncio.timeout(_WAIT):
                await self._turns.acquire()
        except TimeoutError:
            self.meters.calls["crowded",] += 1
            raise EngineUnavailableError("too many calls wait for the store") from None
        try:
            self._expect_answers()  # Whoever waited for a call that was not answered does not try as well.
            return await self.probe(script, *arguments)
        finally:
            self._turns.release()

    def _expect_answers(self) -> None:
        if self.is_away:
            raise EngineUnavailableError("the store does not answer")

    async def probe(self, script: str, *arguments: Any) -> Any:
        """As run, in front of all that wait and also while nobody expects an answer; one at a time."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        deadline = begun * 1000 + self._ahead + (self._patience - _WAY_BACK) * 1000
        given = (self.prefix, self.node, int(deadline), *arguments)
        client = self._redis
        try:
            async with asyncio.timeout(self._patience):
                reply = await _evaluate(client, script, given)
        except ResponseError as error:
            raise self._refused(error) from None
        except (RedisError, OSError, TimeoutError) as error:
            heed_cancellation()
            self.meters.calls["unanswered",] += 1
            self.alarm.set()
            raise self._unanswered(client, error) from None
        heed_cancellation()
        self.is_away = False
        self.meters.calls["ok",] += 1
        self.meters.seconds.observe(loop.time() - begun)
        return reply

    def _refused(self, error: ResponseError) -> EngineUnavailableError:
        text = str(error)
        if "LOST" in text:
            self.meters.calls["lost",] += 1
            return LostError("the store has forgotten this node")
        if "LATE" in text:
            self.meters.calls["late",] += 1
            return EngineUnavailableError("the call reached the store too late")
        self.meters.calls["refused",] += 1
        _log.warning("Redis refuses a call", reason=text)
        kind = BarredError if is_barred(error) else EngineUnavailableError
        return kind(f"the store refuses: {text}")

    def readable(self, read: Callable[[bytes], T], records: Iterable[bytes], what: str) -> list[T]:
        """The records, without those that cannot be read: of `what` they are, the log speaks once."""
        found = []
        for record in records:
            try:
                found.append(read(record))
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                if what not in self._said and len(self._said) < _SAID:
                    self._said.add(what)
                    _log.warning("a record in Redis cannot be read", what=what, problem=str(error))
        return found

    async def measure(self) -> str:
        """Learns the clock of Redis, and that it answers; returns the id of this run of it."""
        client, loop = self._redis, asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._patience):
                asked = loop.time()
                seconds, microseconds = await client.time()
                told = seconds * 1000 + microseconds / 1000
                # It was told between the two; a slow answer must not spoil what is known from a fast one.
                self._ahead = min(max(self._ahead, told - loop.time() * 1000), told - asked * 1000)
                run_id = str((await client.info("server"))["run_id"])
        except (RedisError, OSError, TimeoutError) as error:
            heed_cancellation()
            raise self._unanswered(client, error) from None
        self.is_away = False
        return run_id

    def _unanswered(self, client: "Redis", error: Exception) -> EngineUnavailableError:
        self.is_away = True
        self._replace(client)
        if is_barred(error):
            return BarredError(f"the store refuses: {error}")
        return EngineUnavailableError(f"the store does not answer ({type(error).__name__})")

    async def read(self, key: str, after: int, most: int, block: int, patience: float) -> list[Any] | None:
        """Entries of a stream behind a number, waited for so many milliseconds; None when there was no answer."""
        client = self._reader
        try:
            async with asyncio.timeout(patience):
                found: Any = await client.xread({key: f"{after}-0"}, count=most, block=block)
                return found[0][1] if found else []
        except (RedisError, OSError, TimeoutError):
            heed_cancellation()
            self._reader = _connect(self._url, 1, self._patience, None)
            await _give_up(client)
            return None

    async def close(self) -> None:
        await asyncio.gather(*self._leaving)
        await self._redis.aclose()
        await self._reader.aclose()

    def _replace(self, client: "Redis") -> None:
        """A pool loses connections when it is interrupted; one that was not answered in time is not used again. Others
        may wait on it for answers that come."""
        if self._redis is client:
            self._redis = _connect(self._url, _CONNECTIONS, self._patience, self._patience)
            leaving = asyncio.get_running_loop().create_task(_give_up(client, self._patience))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)


def place_of(url: str) -> str:
    """The host and port, or the socket, of a URL of Redis, for logs."""
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else f"{parts.hostname or 'localhost'}:{parts.port or 6379}"


def is_barred(error: BaseException) -> bool:
    """Whether this will be said again for as long as nobody changes what is configured. Who is not there, or is only
    just starting, says nothing of that kind."""
    if isinstance(error, AuthenticationError | AuthorizationError | InvalidResponse):
        return True
    if isinstance(error, ResponseError):
        return not str(error).startswith(_PASSING) and getattr(error, "status_code", None) not in _PASSING
    # redis-py says only that it could not connect; what TLS had against it stands behind that.
    cause = error.__context__
    return isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError)


async def _evaluate(client: "Redis", script: str, arguments: tuple[Any, ...]) -> Any:
    try:
        return await client.evalsha(digest_of(script), 0, *arguments)
    except NoScriptError:
        return await client.eval(script, 0, *arguments)


async def _give_up(client: "Redis", later: float = 0.0) -> None:
    await asyncio.sleep(later)
    with contextlib.suppress(RedisError, OSError, TimeoutError):
        async with asyncio.timeout(_CLOSING):
            await client.aclose()


def heed_cancellation() -> None:
    """redis-py at times takes a cancellation for a connection that broke: then it is raised here."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _connect(url: str, most: int, patience: float, timeout: float | None) -> "Redis":
    """`patience` is for a connection, `timeout` for an answer. Nothing is tried twice behind our back: a script that
    was slow is not run again."""
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=most,
        timeout=patience,
        socket_timeout=timeout,
        socket_connect_timeout=patience,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
        protocol=2,
    )
    return Redis.from_pool(pool)
