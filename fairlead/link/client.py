"""signal_api's end of the link: connects, and connects again, for as long as it runs."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from fairlead.link.connection import Connection
from fairlead.link.messages import (
    LONGEST_LINE,
    Allocated,
    Command,
    Draining,
    Ended,
    Event,
    LinkError,
    Message,
    Refused,
    Usage,
)
from fairlead.link.outbox import Outbox
from fairlead.log import get_logger

_log = get_logger("fairlead.link")

_OUTBOX = 4096
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 5.0


class LinkClient:
    """Hands each event to `receive`; commands wait in a bounded queue while there is no connection.

    `standing` says what holds whenever a connection is made: a turnd that was started anew knows nothing.
    """

    def __init__(
        self,
        path: Path,
        receive: Callable[[Event], None],
        standing: Callable[[], Iterable[Command]] = tuple,
        daemon: str = "signal_api",
    ) -> None:
        self._path = path
        self._receive = receive
        self._standing = standing
        self._daemon = daemon
        self._outbox = Outbox(_OUTBOX)
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        return self._connection is not None

    @property
    def dropped(self) -> int:
        """Commands that there was no room for."""
        return self._outbox.dropped

    def start(self) -> None:
        self._task = asyncio.create_task(self._stay_connected())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def send(self, command: Command) -> None:
        """Sends a command, now or when there is a connection again."""
        if self._connection is not None:
            self._connection.send(command)
        else:
            self._outbox.put(command)

    async def _stay_connected(self) -> None:
        delay = _FIRST_DELAY
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(str(self._path), limit=LONGEST_LINE)
            except OSError:
                # turnd starts later or is away; /readyz of both says so, the log need not.
                await asyncio.sleep(delay)
                delay = min(2 * delay, _LONGEST_DELAY)
                continue
            if await self._converse(reader, writer):
                delay = _FIRST_DELAY
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Speaks until the connection ends; False when there was not even a hello."""
        connection = Connection(reader, writer, self._outbox)
        try:
            await connection.greet(self._daemon)
            self._connection = connection
            _log.info("link connected", socket=str(self._path))
            await connection.run(self._take, first=tuple(self._standing()))
        except (LinkError, OSError) as error:
            _log.warning("link closed", problem=str(error))
        finally:
            greeted, self._connection = self._connection is not None, None
            await connection.close()
        return greeted

    def _take(self, message: Message) -> None:
        if not isinstance(message, Allocated | Refused | Usage | Ended | Draining):
            raise LinkError(f"{type(message).__name__} is no event")
        self._receive(message)
