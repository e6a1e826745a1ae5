"""The link where the daemons are on different machines: two streams in Redis (or Valkey), one for each direction.

Every turnd reads the commands and every signal_api the events, all of them. Who comes says hello, and is told what
stands. Whoever can write to that Redis commands the relays: it has a password, and TLS where the way is not ours.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple

from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from fairlead.link.messages import VERSION, Hello, LinkError, Message, decode, encode
from fairlead.link.outbox import Outbox
from fairlead.log import get_logger

_log = get_logger("fairlead.link")

_OUTBOX = 4096
#: entries that a stream keeps, about; who reads more slowly than this misses some
_KEPT = 20_000
_AT_ONCE = 64
#: milliseconds that a read waits, and seconds after which Redis is taken for away, and until the next attempt
_BLOCK, _PATIENCE, _PAUSE = 300, 3.0, 0.25
_FIELD = "m"
#: that are told apart in the log
_PROBLEMS = 16


class Ways(NamedTuple):
    """The stream that is read and the one that is written."""

    reads: str
    writes: str

    @classmethod
    def of_turnd(cls, prefix: str) -> "Ways":
        return cls(f"{prefix}:link:commands", f"{prefix}:link:events")

    @classmethod
    def of_signal_api(cls, prefix: str) -> "Ways":
        return cls(f"{prefix}:link:events", f"{prefix}:link:commands")


class Exchange:
    """One end. `take` is called with each message of the others; `standing` says what holds, for whoever comes."""

    def __init__(
        self,
        url: str,
        ways: Ways,
        daemon: str,
        take: Callable[[Message], None],
        standing: Callable[[], Iterable[Message]],
    ) -> None:
        """Raises ValueError for a URL that is none."""
        self.outbox = Outbox(_OUTBOX)
        self.connected = False
        #: why not, as far as it is known
        self.problem: str | None = None
        self._ways = ways
        self._daemon = daemon
        self._take = take
        self._standing = standing
        # A reader blocks its connection, so that the writer has one of its own.
        self._reader, self._writer = (_connection(url) for _ in range(2))
        self._waiting = asyncio.Event()
        self._is_asked = self._is_broken = self._is_over = False
        #: what was not understood last
        self._misheard = set[str]()
        #: the entry that was read last; before the first connection, none
        self._position = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Writes what waits, if Redis takes it at once."""
        self._is_over = True
        self._waiting.set()
        if self._task is not None:
            await self._task
        await asyncio.gather(self._reader.aclose(), self._writer.aclose(), return_exceptions=True)

    def send(self, message: Message) -> None:
        """Never waits; without Redis messages stay in a bounded queue."""
        self.outbox.put(message)
        self._waiting.set()

    async def _run(self) -> None:
        while not self._is_over:
            try:
                await self._converse()
            except (RedisError, OSError) as error:
                self._note(str(error) or type(error).__name__)
            except Exception as error:
                # A fault of ours in what was heard or is said. The link is all that turnd hears of whom to refuse.
                _log.exception("link broken")
                self.problem = type(error).__name__
            self.connected = False
            if not self._is_over:
                await asyncio.sleep(_PAUSE)

    def _note(self, problem: str) -> None:
        """Says why there is no link: when it breaks, and then whenever the reason is another one."""
        if self.connected:
            _log.warning("link closed", problem=problem)
        elif problem != self.problem:
            _log.warning("no link", problem=problem)
        self.problem = problem

    async def _converse(self) -> None:
        """Reads and writes until one of them fails. Neither is cancelled: redis-py takes that for a connection that
        broke, or leaves one behind."""
        last = await self._last_entry()
        # A Redis that has lost its streams, and whose clock shows less than before, gives numbers below of what was
        # read. What stands is told to whoever says hello.
        if not self._position or _order(last) < _order(self._position):
            self._position = last
        await self._write([Hello(VERSION, self._daemon)])
        self._is_asked = self.connected = True
        self._is_broken, self.problem = False, None
        _log.info("link connected", streams=list(self._ways))
        ways = (self._until_broken(self._read), self._until_broken(self._write_next))
        for problem in await asyncio.gather(*ways, return_exceptions=True):
            if isinstance(problem, BaseException):
                raise problem

    async def _until_broken(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            while not self._is_broken and not self._is_over:
                await step()
        finally:
            self._is_broken = True
            self._waiting.set()

    async def _last_entry(self) -> str:
        entries: Any = await self._reader.xrevrange(self._ways.reads, count=1)
        return str(entries[0][0].decode()) if entries else "0-0"

    async def _read(self) -> None:
        found: Any = await self._reader.xread({self._ways.reads: self._position}, count=_AT_ONCE, block=_BLOCK)
        for entry, fields in found[0][1] if found else ():
            self._position = entry.decode()
            self._hear(fields)

    def _hear(self, fields: dict[bytes, bytes]) -> None:
        """What is no message of ours is left out: a Redis has other writers than a socket of our own."""
        try:
            message = decode(fields.get(_FIELD.encode(), b""))
        except LinkError as error:
            self._note_misheard(str(error))
            return
        if isinstance(message, Hello):
            self._greeted(message)
        self._take(message)

    def _greeted(self, hello: Hello) -> None:
        refusal = hello.refusal()
        if refusal is not None:
            self._note_misheard(refusal)
            return
        self._is_asked = True
        self._waiting.set()

    def _note_misheard(self, problem: str) -> None:
        """Each problem once, and not many: of a fleet of two releases every message may be such."""
        if problem not in self._misheard and len(self._misheard) < _PROBLEMS:
            self._misheard.add(problem)
            _log.warning("what came over the link is not understood", problem=problem)

    async def _write_next(self) -> None:
        self._waiting.clear()
        if self._is_asked:
            self._is_asked = False
            rest = iter(tuple(self._standing()))
            while begun := list(itertools.islice(rest, _AT_ONCE)):
                await self._write(begun)
        await self._write_waiting()
        if not self._is_broken and not self._is_over:
            await self._waiting.wait()
            # What was said at the very end, too.
            await self._write_waiting()

    async def _write_waiting(self) -> None:
        while messages := self.outbox.take(_AT_ONCE):
            try:
                await self._write(messages)
            except BaseException:
                self.outbox.put_back(messages)
                raise

    async def _write(self, messages: Iterable[Message]) -> None:
        pipe = self._writer.pipeline(transaction=False)
        for message in messages:
            pipe.xadd(self._ways.writes, {_FIELD: encode(message)}, maxlen=_KEPT, approximate=True)
        await pipe.execute()


def _order(entry: str) -> tuple[int, ...]:
    """Of the ids of a stream, milliseconds and a number within them."""
    return tuple(map(int, entry.split("-")))


def _connection(url: str) -> "Redis":
    """Nothing is tried twice behind our back: what was slow is not written again."""
    pool = ConnectionPool.from_url(
        url,
        socket_connect_timeout=_PATIENCE,
        socket_timeout=_PATIENCE,
        retry=Retry(NoBackoff(), 0),
        retry_on_error=[],
        protocol=2,
    )
    return Redis.from_pool(pool)
