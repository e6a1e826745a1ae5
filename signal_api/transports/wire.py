"""A WebSocket after its handshake, without a task: what comes is told to a listener at once (RFC 6455 sections 5-7).

The library does the framing. Between two messages of an open connection there is nothing that it has to remember of
it, so all connections that are there share one of its objects, and an idle one costs nothing; whoever is in the middle
of a message, or of the end, has an object of its own.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol, cast

from websockets.frames import Frame, Opcode
from websockets.protocol import SEND_EOF, State
from websockets.server import ServerProtocol

try:
    from websockets.speedups import apply_mask
except ImportError:  # where the library came without its C
    from websockets.utils import apply_mask

from signal_api.transports.upgrade import MOST_BETWEEN, Successor

#: RFC 6455 section 5.2: the first byte of a text in one frame; in the second, the bit of a client's frame, and what
#: stands there when the length follows in two bytes; bytes of the shortest header, its mask among them
_WHOLE_TEXT, _MASKED, _MEDIUM, _HEADER = 0x81, 0x80, 126, 6
#: bytes of one connection that are read in a turn, where they are not whole texts. A frame has six of them at least.
PORTION = 4096
#: messages of one parcel that are handled before the connection may be ended
_MOST_TOGETHER = 512
#: bytes that are kept at most so that they leave together
_MOST_GATHERED = 262144
#: RFC 6455 section 7.4.1, and the registry that it begins: the server is about to stop
_SERVICE_RESTART = 1012
#: bytes of a client that goes on talking after our close, such as what was on its way
_MOST_LATE = 262144
#: RFC 6455 section 5.5: a control frame holds 125 bytes, two of them the code
_LONGEST_REASON = 123


class Listener(Protocol):
    """Whoever takes what a wire brings. None of its verbs waits."""

    def heard(self, message: bytes | None) -> None:
        """A text, of which nobody knows yet if it is UTF-8; None for a binary message."""
        ...

    def flooded(self) -> None:
        """What comes is too many frames that are no messages."""
        ...

    def filled(self) -> None:
        """The client does not read: whatever is written from now on is kept in memory."""
        ...

    def drained(self) -> None:
        """The client has read."""
        ...

    def lost(self) -> None:
        """The connection is over; nothing follows."""
        ...


def _next_turn(do: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_soon(do)


class Framing:
    """What the connections of one server share; `most` is the largest size of a message in bytes, `later` does
    something when others have had their turn."""

    def __init__(self, most: int, later: Callable[[Callable[[], None]], None] = _next_turn) -> None:
        self._most = most
        self.later = later
        #: is told of each parcel that comes
        self.heard: Callable[[], None] = lambda: None
        self.idle = self.fresh()
        #: whether what is written is kept until `write_out`, and what is
        self.gathers = False
        self.gathered: dict[Wire, list[bytes]] = {}
        self.gathered_bytes = 0

    def gather(self) -> None:
        """From now on, what several have to say to one leaves as one parcel, and all parcels leave one after the
        other: those who are woken by the first find the others there."""
        self.gathers = True

    def write_out(self) -> None:
        """The end of what `gather` began."""
        self.gathers = False
        self.write_gathered()

    def write_out_to(self, wire: "Wire") -> None:
        """Ahead of the others, for one that is about to end."""
        wire.write_now(b"".join(self.gathered.pop(wire, ())))

    def write_gathered(self) -> None:
        gathered, self.gathered, self.gathered_bytes = self.gathered, {}, 0
        for wire, frames in gathered.items():
            wire.write_now(b"".join(frames))

    def whole_texts(self, parcel: bytes) -> list[bytes]:
        """The messages of a parcel that is, from its first byte to its last, texts in one frame each, as nearly all
        are; none for whatever else it is, which the library reads, at six times the cost."""
        texts: list[bytes] = []
        size, stop = len(parcel), 0
        while stop < size:
            if size - stop < _HEADER or parcel[stop] != _WHOLE_TEXT or len(texts) == _MOST_TOGETHER:
                return []
            start, length = stop + _HEADER, parcel[stop + 1] - _MASKED
            if length == _MEDIUM:
                start, length = start + 2, parcel[stop + 2] << 8 | parcel[stop + 3]
            elif not 0 <= length < _MEDIUM:
                return []
            stop = start + length
            if stop > size or length > self._most:
                return []
            texts.append(apply_mask(parcel[start:stop], parcel[start - 4 : start]))
        return texts

    def fresh(self) -> ServerProtocol:
        """For an open connection between two messages."""
        return ServerProtocol(state=State.OPEN, max_size=self._most, logger=_log)


_log = logging.getLogger("uvicorn.error")


class Wire(Successor):
    """Reads and writes the frames of one transport."""

    __slots__ = (
        "_ahead",
        "_between",
        "_is_paused",
        "_late",
        "_listener",
        "_own",
        "_parts",
        "_pong",
        "_shared",
        "_transport",
        "_unread",
        "is_full",
    )

    def __init__(self, shared: Framing, listener: Listener) -> None:
        self._shared = shared
        self._listener = listener
        self._own: ServerProtocol | None = None
        self._unread = 0  # bytes of a frame that has not come to its end
        self._parts: list[bytes] | None = None  # of a message in several frames; the last says which kind it is
        self._pong = b""
        self._between = 0  # frames since the last message
        self._late = 0  # bytes that came after our close
        self._ahead = b""  # what is read in the turns that follow
        self._is_paused = False
        #: whether the client does not read
        self.is_full = False

    # What the listener asks for

    def write(self, frame: bytes) -> None:
        """Sends what `text_frame` made."""
        shared = self._shared
        if not shared.gathers:
            self.write_now(frame)
            return
        shared.gathered.setdefault(self, []).append(frame)
        shared.gathered_bytes += len(frame)
        if shared.gathered_bytes > _MOST_GATHERED:
            shared.write_gathered()

    def write_now(self, frames: bytes) -> None:
        """As write, ahead of what is kept for later."""
        if not self._transport.is_closing():
            self._transport.write(frames)

    def hold(self) -> None:
        """What is written in the rest of this turn leaves together, at its end."""
        shared = self._shared
        if not shared.gathers:
            shared.gather()
            shared.later(shared.write_out)

    def close(self, code: int, reason: str) -> None:
        """Begins the closing handshake; the connection is lost when the client has answered."""
        if self._transport.is_closing():
            return
        own = self._own = self._own or self._shared.fresh()
        if own.state is State.OPEN:
            own.send_close(code, reason.encode()[:_LONGEST_REASON].decode(errors="ignore"))
            self._send_out(own)

    def part(self) -> None:
        """Nothing follows: it lets go of what holds it in turn. Who leaves is to leave no work for a collector, which
        has everybody wait."""
        del self._listener
        if self._own is not None:
            self._own.parser.close()
            self._own = None

    def abort(self) -> None:
        """Ends the connection, whatever is not written yet."""
        self._transport.abort()

    def pause(self) -> None:
        """Nothing is read until `resume`; what was read already may still come."""
        self._is_paused = True
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        self._is_paused = False
        if not self._ahead and not self._transport.is_closing():
            self._transport.resume_reading()

    # What the event loop and the server tell

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._listener.lost()

    def pause_writing(self) -> None:
        self.is_full = True
        self._listener.filled()

    def resume_writing(self) -> None:
        self.is_full = False
        if self._pong:
            self.write(self._pong)
            self._pong = b""
        self._listener.drained()

    def shutdown(self) -> None:
        self.close(_SERVICE_RESTART, "")
        self._end()

    def data_received(self, data: bytes) -> None:
        self._shared.heard()
        if self._ahead:
            self._ahead += data
            return
        texts = self._shared.whole_texts(data) if self._own is None else []
        if texts:
            self._between = 0
            if len(texts) == 1:
                self._listener.heard(texts[0])
            else:
                self._hear(texts)
        elif not self._transport.is_closing():
            self._read_on(data)

    def _read_on(self, data: bytes) -> None:
        """Reads a portion, and the next when the others have had their turn: a parcel may hold forty thousand frames,
        and what the first of them say may be its end."""
        self._ahead = data[PORTION:]
        self._read(data[:PORTION])
        if self._ahead and not self._transport.is_closing():
            self._transport.pause_reading()
            self._shared.later(self._go_on)

    def _go_on(self) -> None:
        if self._transport.is_closing():
            return
        self._read_on(self._ahead)
        if not self._is_paused:
            self.resume()

    def _hear(self, texts: list[bytes]) -> None:
        """What several messages of one parcel have the server say, such as candidates that come at once, is written
        at once to each whom it goes to."""
        is_ours = not self._shared.gathers
        self._shared.gather()
        try:
            for text in texts:
                self._listener.heard(text)
        finally:
            if is_ours:
                self._shared.write_out()

    def _read(self, data: bytes) -> None:
        framing = self._own or self._shared.idle
        framing.receive_data(data)
        frames = cast(list[Frame], framing.events_received())
        self._unread += len(data) - sum(map(_size, frames))
        if not self._unread and framing.current_size is None and framing.state is State.OPEN:
            self._own = None
        elif self._own is None:
            self._own, self._shared.idle = framing, self._shared.fresh()
        if framing.writes:
            self._send_out(framing)
        for frame in frames:
            self._take(frame)
        if framing.state is State.CLOSING:
            self._late += len(data)
            if self._late > _MOST_LATE:
                self.abort()

    def _take(self, frame: Frame) -> None:
        data, opcode = bytes(frame.data), frame.opcode
        if opcode is Opcode.TEXT and frame.fin:
            self._between = 0
            self._listener.heard(data)
            return
        if opcode is Opcode.TEXT:
            self._parts = [data]
        elif opcode is Opcode.BINARY:
            self._listener.heard(None)
        elif opcode is Opcode.CONT and self._parts is not None:
            self._parts.append(data)
            if frame.fin:
                parts, self._parts, self._between = self._parts, None, 0
                self._listener.heard(b"".join(parts))
        self._between += 1
        if self._between == MOST_BETWEEN + 1:
            self._listener.flooded()

    def _end(self) -> None:
        """Ends the connection when all is written."""
        self._shared.write_out_to(self)
        self._transport.close()

    def _send_out(self, framing: ServerProtocol) -> None:
        """Sends what the library answers by itself. Of the pings that came while the client does not read, the last is
        answered (RFC 6455 section 5.5.3), so that nothing grows."""
        for frame in framing.data_to_send():
            if frame == SEND_EOF:
                self._end()
            elif self.is_full and frame[0] & 15 == Opcode.PONG:
                self._pong = frame
            else:
                self.write(frame)


def text_frame(text: bytes) -> bytes:
    """A text message, as the server sends it. Most have a length that is written in two bytes; the rest is the
    library's."""
    length = len(text)
    if _MEDIUM <= length < 65536:
        return b"\x81\x7e%c%c%b" % (length >> 8, length & 255, text)
    return Frame(Opcode.TEXT, text).serialize(mask=False)


def _size(frame: Frame) -> int:
    """Bytes of a client's frame, its length written as short as it can be. One that is written longer seems to leave
    something unread, and its connection keeps an object of its own."""
    length = len(frame.data)
    return length + (6 if length < 126 else 8 if length < 65536 else 14)
