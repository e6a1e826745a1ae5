"""An owner of streams that answers every message with itself and writes down what happens."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fairlead.datagram import Address, Transport
from fairlead.listeners import bind, parse_listener
from fairlead.reasons import Reason
from fairlead.streams import Stream, StreamServer, StreamSettings
from fairlead.stun.header import COOKIE_BYTES

#: A Binding request and a ChannelData message, its padding included.
REQUEST = b"\x00\x01\x00\x00" + COOKIE_BYTES + bytes(12)
CHANNEL_DATA = b"\x40\x00\x00\x05hello\x00\x00\x00"


class Echo:
    """`settle` is what each message settles its stream for; False leaves it half-open."""

    def __init__(self, settle: float | bool | None = None) -> None:
        self.settle = settle
        self.streams: list[Stream] = []
        self.messages: list[bytes] = []
        self.garbled: list[Reason] = []
        self.closed: list[Stream] = []

    def message_received(self, stream: Stream, data: bytes) -> None:
        self.messages.append(data)
        self.streams.append(stream)
        stream.send(data)
        if not isinstance(self.settle, bool):
            stream.settle(self.settle)

    def stream_garbled(self, stream: Stream, reason: Reason) -> None:
        self.garbled.append(reason)

    def stream_closed(self, stream: Stream) -> None:
        self.closed.append(stream)


@asynccontextmanager
async def serving(
    echo: Echo,
    settings: StreamSettings | None = None,
    context: ssl.SSLContext | None = None,
    transport: Transport = Transport.TCP,
    host: str = "127.0.0.1",
) -> AsyncIterator[tuple[StreamServer, Address]]:
    """A server with one listener, number 7, and where it listens."""
    server = StreamServer(echo, settings or StreamSettings(), context)
    (sock,) = bind(parse_listener(f"{transport}://{host}:0"), ("listen",))
    server.listen(7, sock, transport)
    try:
        yield server, Address(*sock.getsockname()[:2])
    finally:
        server.close()
        await server.emptied()


@asynccontextmanager
async def connected(
    address: Address, context: ssl.SSLContext | None = None, source: str | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    local = (source, 0) if source else None
    reader, writer = await asyncio.open_connection(*address, ssl=context, local_addr=local)
    try:
        yield reader, writer
    finally:
        writer.close()
