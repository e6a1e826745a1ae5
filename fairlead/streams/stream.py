"""One client's connection: framed messages in, bytes out, a deadline."""

import asyncio
import contextlib
import socket
from typing import Protocol, cast

from fairlead.datagram import FiveTuple, Via
from fairlead.reasons import Reason
from fairlead.streams.settings import StreamSettings
from fairlead.stun.framing import FrameDecoder
from fairlead.stun.header import LARGEST_REQUEST, DecodeError

#: Bytes that a client may say before it has proved itself: a few requests, each of which costs the loop its reading.
MOST_UNPROVEN = 8 * LARGEST_REQUEST
#: So much more than what is sent may wait for a slow reader if replies are among it.
_REPLIES_ROOM = 2


class StreamHandler(Protocol):
    """Whose streams they are."""

    def message_received(self, stream: "Stream", data: bytes) -> None:
        """One whole message; valid or not is the handler's to say, and to reward with stream.settle()."""
        ...

    def stream_garbled(self, stream: "Stream", reason: Reason) -> None:
        """Bytes that begin no message; the stream ends after this."""
        ...

    def stream_closed(self, stream: "Stream") -> None:
        """The last that is heard of a stream."""
        ...


class StreamKeeper(Protocol):
    """Who accepted a stream, and counts it."""

    handler: StreamHandler
    settings: StreamSettings
    largest: int
    #: One buffer serves all streams: what is read is framed before the loop reads the next.
    buffer: memoryview
    expired: int

    def settled(self, stream: "Stream") -> None:
        """It is half-open no more."""
        ...

    def ended(self, stream: "Stream") -> None:
        """It is gone."""
        ...


class Stream(asyncio.BufferedProtocol):
    """A TCP or TLS connection that carries STUN messages and ChannelData.

    `via` names it for as long as it lives; `five_tuple` is its transport with both of its addresses.
    """

    def __init__(self, keeper: StreamKeeper, via: Via, five_tuple: FiveTuple) -> None:
        self.via = via
        self.five_tuple = five_tuple
        self.is_half_open = True
        self._has_ended = False
        self._keeper = keeper
        self._transport: asyncio.Transport | None = None
        self._decoder = FrameDecoder(min(keeper.largest, LARGEST_REQUEST))
        self._unproven = 0
        self._loop = asyncio.get_running_loop()
        self.expires = self._loop.time() + keeper.settings.deadline
        self._timer: asyncio.TimerHandle | None = self._loop.call_at(self.expires, self._expire)
        #: the socket, until a transport takes it over
        self.accepted: socket.socket | None = None
        #: what brings that about, while it does
        self.admission: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    # For the owner

    def send(self, data: bytes) -> Reason | None:
        """Writes whole messages; returns why they were dropped, None when they are on their way."""
        return self._write(data, self._keeper.settings.write_buffer)

    def reply(self, data: bytes) -> Reason | None:
        """As send, for what a client waits for: it has as much room again behind what was sent. Over a stream a client
        asks but once (RFC 8489 section 6.2.2), so that one whose answer is dropped all the same is hung up on, in the
        loop's next turn."""
        reason = self._write(data, _REPLIES_ROOM * self._keeper.settings.write_buffer)
        if reason is Reason.SEND_BUFFER:
            self._loop.call_soon(self.abort)
        return reason

    def _write(self, data: bytes, most: int) -> Reason | None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return Reason.UNREACHABLE
        if transport.get_write_buffer_size() > most:
            return Reason.SEND_BUFFER
        transport.write(data)
        return None

    def settle(self, seconds: float | None) -> None:
        """The client has proved itself: it counts as half-open no more, and has `seconds` from now until it must
        prove itself again; None sets no end."""
        if self._has_ended:
            return
        if self.is_half_open:
            self.is_half_open = False
            self._decoder.largest = self._keeper.largest
            self._keeper.settled(self)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if seconds is None else self._loop.call_later(seconds, self._expire)

    def close(self) -> None:
        """Closes when what was sent is written."""
        if self._transport is not None:
            self._transport.close()
        else:
            self.abort()

    def abort(self) -> None:
        """Closes now."""
        if self.admission is not None:
            self.admission.cancel()
        if self._transport is not None:
            # asyncio before 3.11.3 trips over a TLS transport that is aborted when it has closed by itself.
            with contextlib.suppress(AttributeError):
                self._transport.abort()
        self._end()

    # For asyncio

    def admitted(self) -> None:
        """The admission is over, for better or worse."""
        self.admission = None
        if self.accepted is not None:
            self.accepted.close()
        if not self.is_open:
            self.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._keeper.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._decoder.feed(self._keeper.buffer[:nbytes])
        try:
            if self.is_half_open:
                self._count_unproven(nbytes)
            while self.is_open and (message := self._decoder.next_message()) is not None:
                self._keeper.handler.message_received(self, message)
        except DecodeError as error:
            self._keeper.handler.stream_garbled(self, error.reason)
            self.abort()

    def _count_unproven(self, nbytes: int) -> None:
        self._unproven += nbytes
        if self._unproven > MOST_UNPROVEN:
            raise DecodeError(Reason.TOO_LARGE)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def _expire(self) -> None:
        self._keeper.expired += 1
        self.abort()

    def _end(self) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        if self._timer is not None:
            self._timer.cancel()
        self._keeper.ended(self)
        # A TLS transport knows us too, and a ring of the two is found by nobody but a collector.
        self._transport = None
