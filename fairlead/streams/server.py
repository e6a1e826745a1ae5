"""Accepts TCP and TLS connections, tells the two apart by their first byte, and bounds what they may cost."""

import asyncio
import errno
import socket
import ssl
import traceback
from collections import Counter
from typing import NamedTuple

from fairlead.datagram import Address, FiveTuple, Transport, Via
from fairlead.sources import source_prefix
from fairlead.streams.settings import StreamSettings
from fairlead.streams.stream import Stream, StreamHandler
from fairlead.stun.framing import LARGEST_MESSAGE
from fairlead.udp import address_of

#: TLS records of a handshake begin with it, and no STUN or ChannelData message does.
_TLS_HANDSHAKE = 0x16

_ACCEPTS_PER_TURN = 64
_RECEIVE_BUFFER = 16384
#: Seconds until accepting is tried again when the process or the machine has no descriptors left.
_PAUSE = 0.25
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

_REFUSALS = ("connections", "connections_per_source", "half_open", "half_open_per_source", "descriptors")
_HANDSHAKES = ("ok", "failed", "no_certificate")


class _Listening(NamedTuple):
    socket: socket.socket
    transport: Transport


class StreamServer:
    """All stream listeners of a daemon. `settings` and `context` may be replaced at any time; they count for
    connections that are accepted from then on."""

    def __init__(
        self,
        handler: StreamHandler,
        settings: StreamSettings,
        context: ssl.SSLContext | None = None,
        largest: int = LARGEST_MESSAGE,
    ) -> None:
        """`largest` bounds a message in bytes; without a context, TLS is refused."""
        self.handler = handler
        self.settings = settings
        self.context = context
        self.largest = largest
        self.buffer = memoryview(bytearray(_RECEIVE_BUFFER))
        self.refused: dict[tuple[str, ...], int] = {(reason,): 0 for reason in _REFUSALS}
        self.handshakes: dict[tuple[str, ...], int] = {(result,): 0 for result in _HANDSHAKES}
        self.expired = 0
        self._listening: dict[int, _Listening] = {}
        self._streams: dict[int, Stream] = {}
        self._per_source: Counter[bytes] = Counter()
        #: By source, the oldest first.
        self._half_open: dict[bytes, dict[int, Stream]] = {}
        self._numbers = 0
        self._empty = asyncio.Event()
        self._empty.set()

    # For the owner

    def listen(self, listener: int, sock: socket.socket, transport: Transport) -> None:
        """Takes a listening socket over. On a TCP entry TLS is served too when there is a context; on a TLS entry
        nothing else. `listener` becomes the via of its streams."""
        self._listening[listener] = _Listening(sock, transport)
        asyncio.get_running_loop().add_reader(sock, self._accept, listener)

    def close_listener(self, listener: int) -> None:
        """Accepts no more; connections that are there stay."""
        sock = self._listening.pop(listener).socket
        asyncio.get_running_loop().remove_reader(sock)
        sock.close()

    def close(self) -> None:
        """Ends everything now."""
        for listener in list(self._listening):
            self.close_listener(listener)
        for stream in list(self._streams.values()):
            stream.abort()

    def find(self, via: Via) -> Stream | None:
        """The stream that a message came by, if it still lives."""
        return self._streams.get(via.path)

    def connections(self) -> Counter[Transport]:
        """How many there are, half-open ones included."""
        return Counter(stream.five_tuple.transport for stream in self._streams.values())

    async def emptied(self) -> None:
        """Waits until no stream is left."""
        await self._empty.wait()

    @property
    def half_open(self) -> int:
        return sum(map(len, self._half_open.values()))

    # Accepting

    def _accept(self, listener: int) -> None:
        listening = self._listening.get(listener)
        if listening is None:
            return
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                sock, name = listening.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self.refused["descriptors",] += 1
                    self._pause(listener, listening.socket)
                    return
                continue  # what went wrong with the connection that is not accepted is said of no other
            self._admit(listener, listening.transport, sock, address_of(name))

    def _pause(self, listener: int, sock: socket.socket) -> None:
        """Level-triggered readiness would spin on the connection that cannot be accepted."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(sock)
        loop.call_later(_PAUSE, self._resume, listener, sock)

    def _resume(self, listener: int, sock: socket.socket) -> None:
        if listener in self._listening and self._listening[listener].socket is sock:
            asyncio.get_running_loop().add_reader(sock, self._accept, listener)

    def _admit(self, listener: int, transport: Transport, sock: socket.socket, client: Address) -> None:
        source = source_prefix(client.host)
        refusal = self._refusal(source)
        if refusal is not None:
            self.refused[refusal,] += 1
            sock.close()
            return
        if self.half_open >= self.settings.half_open:
            self._make_room()
        sock.setblocking(False)
        self._numbers += 1
        via = Via(listener, self._numbers)
        stream = Stream(self, via, FiveTuple(Transport.TCP, client, address_of(sock.getsockname())))
        self._streams[via.path] = stream
        self._empty.clear()
        self._per_source[source] += 1
        self._half_open.setdefault(source, {})[via.path] = stream
        stream.accepted = sock
        stream.admission = asyncio.get_running_loop().create_task(self._connect(stream, sock, transport))
        stream.admission.add_done_callback(lambda _: stream.admitted())

    def _refusal(self, source: bytes) -> str | None:
        settings = self.settings
        if len(self._streams) >= settings.connections:
            return "connections"
        if self._per_source[source] >= settings.connections_per_source:
            return "connections_per_source"
        if len(self._half_open.get(source, ())) >= settings.half_open_per_source:
            return "half_open_per_source"
        return None

    def _make_room(self) -> None:
        """Whoever holds most places of those who prove nothing gives one up, the one held longest: a few addresses keep
        nobody out."""
        held = max(self._half_open.values(), key=len)
        self.refused["half_open",] += 1
        next(iter(held.values())).abort()

    async def _connect(self, stream: Stream, sock: socket.socket, transport: Transport) -> None:
        """From the first byte to a stream that is read."""
        try:
            is_tls = await _first_byte(sock) == _TLS_HANDSHAKE
            if is_tls and self.context is not None:
                stream.five_tuple = stream.five_tuple._replace(transport=Transport.TLS)
                stream.accepted = None
                await self._shake_hands(stream, sock, self.context)
            elif is_tls or transport is Transport.TLS:
                self.handshakes["no_certificate" if is_tls else "failed",] += 1
            else:
                stream.accepted = None
                await asyncio.get_running_loop().connect_accepted_socket(lambda: stream, sock)
        except OSError:
            pass  # the client is gone, or its handshake failed and is counted

    async def _shake_hands(self, stream: Stream, sock: socket.socket, context: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        left = max(0.001, stream.expires - loop.time())
        result = "failed"
        try:
            await loop.connect_accepted_socket(
                lambda: stream, sock, ssl=context, ssl_handshake_timeout=left, ssl_shutdown_timeout=1.0
            )
            result = "ok"
        except Exception as error:
            # Those of asyncio hold the waiter that holds the error, and with it the transport and the stream.
            traceback.clear_frames(error.__traceback__)
            raise
        finally:
            self.handshakes[result,] += 1

    # For the streams

    def settled(self, stream: Stream) -> None:
        source = source_prefix(stream.five_tuple.client.host)
        del self._half_open[source][stream.via.path]
        if not self._half_open[source]:
            del self._half_open[source]

    def ended(self, stream: Stream) -> None:
        del self._streams[stream.via.path]
        source = source_prefix(stream.five_tuple.client.host)
        self._per_source[source] -= 1
        if not self._per_source[source]:
            del self._per_source[source]
        if stream.is_half_open:
            self.settled(stream)
        if not self._streams:
            self._empty.set()
        self.handler.stream_closed(stream)


async def _first_byte(sock: socket.socket) -> int | None:
    """Waits for the first byte and leaves it unread; None when the client hangs up first."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(sock, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(sock)
    first = sock.recv(1, socket.MSG_PEEK)
    return first[0] if first else None
