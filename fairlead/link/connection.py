"""One connection of the link: a hello each way, then lines out of an outbox and lines in to a callback."""

import asyncio
import itertools
from collections.abc import Callable, Iterable

from fairlead.link.messages import LONGEST_LINE, VERSION, Hello, LinkError, Message, decode, encode
from fairlead.link.outbox import Outbox

_HELLO_SECONDS = 5.0
_WRITTEN_AT_ONCE = 64


class Connection:
    """Speaks over an open stream until either end closes it. A slow reader fills the outbox, never the memory."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, outbox: Outbox) -> None:
        """The reader's limit must be LONGEST_LINE."""
        self.outbox = outbox
        self._reader = reader
        self._writer = writer
        self._waiting = asyncio.Event()

    def send(self, message: Message) -> None:
        self.outbox.put(message)
        self._waiting.set()

    async def greet(self, daemon: str) -> Hello:
        """Exchanges hellos; raises LinkError when the other end is silent or speaks another version, OSError when it
        is gone."""
        self._writer.write(encode(Hello(VERSION, daemon)))
        try:
            async with asyncio.timeout(_HELLO_SECONDS):
                hello = await self._read()
        except TimeoutError:
            raise LinkError("no hello") from None
        if not isinstance(hello, Hello):
            raise LinkError("the first line is no hello")
        if (refusal := hello.refusal()) is not None:
            raise LinkError(refusal)
        return hello

    async def run(self, receive: Callable[[Message], None], first: Iterable[Message] = ()) -> None:
        """Carries messages until the other end hangs up; raises LinkError or OSError for what else ends it. `first`
        goes ahead of the outbox and has no bound but its own."""
        writing = asyncio.create_task(self._write(first))
        reading = asyncio.create_task(self._receive(receive))
        try:
            done, _ = await asyncio.wait((writing, reading), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (writing, reading):
                task.cancel()
            await asyncio.gather(writing, reading, return_exceptions=True)

    async def close(self) -> None:
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return

    async def _receive(self, receive: Callable[[Message], None]) -> None:
        while (message := await self._read()) is not None:
            receive(message)

    async def _read(self) -> Message | None:
        """The next message, None when the other end has hung up."""
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError:
            raise LinkError(f"a line of more than {LONGEST_LINE} bytes") from None
        return decode(line)

    async def _write(self, first: Iterable[Message]) -> None:
        rest = iter(first)
        while begun := tuple(itertools.islice(rest, _WRITTEN_AT_ONCE)):
            self._writer.write(b"".join(map(encode, begun)))
            await self._writer.drain()
        while True:
            self._waiting.clear()
            while messages := self.outbox.take(_WRITTEN_AT_ONCE):
                self._writer.write(b"".join(encode(message) for message in messages))
                try:
                    await self._writer.drain()
                except BaseException:
                    self.outbox.put_back(messages)
                    raise
            await self._waiting.wait()
