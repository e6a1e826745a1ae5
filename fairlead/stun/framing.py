"""Messages in a byte stream (RFC 8489 section 6.2.2, RFC 8656 section 12.5): only their own lengths separate them."""

from fairlead.reasons import Reason
from fairlead.stun.header import COOKIE_BYTES, HEADER_LENGTH, DecodeError

#: ChannelData's header: channel number and length.
CHANNEL_HEADER_LENGTH = 4

#: The longest message that either header can announce: STUN's, whose length is a multiple of 4.
LARGEST_MESSAGE = HEADER_LENGTH + 65532


class FrameDecoder:
    """Feed it what arrives, take whole messages out; it holds one unfinished message and what was fed behind it.

    After a DecodeError the place where the next message would begin is lost: the stream must be closed.
    """

    def __init__(self, largest: int = LARGEST_MESSAGE) -> None:
        """Messages longer than `largest` bytes, which may change, are refused as soon as their header is seen."""
        self.largest = largest
        self._buffer = bytearray()
        self._start = 0

    def feed(self, data: bytes | memoryview) -> None:
        """Appends bytes. Whoever takes all messages out after each feed bounds the buffer by `largest` and one feed."""
        if self._start:
            del self._buffer[: self._start]
            self._start = 0
        self._buffer += data

    def next_message(self) -> bytes | None:
        """The next whole message, ChannelData without its padding; None until more is fed.

        Raises DecodeError for bytes that begin neither.
        """
        available = len(self._buffer) - self._start
        if not available:
            return None
        first = self._buffer[self._start]
        if first < 0x40:
            length = padded = self._stun_length(available)
        elif first < 0x80:
            length, padded = self._channel_length(available)
        else:
            raise DecodeError(Reason.NOT_STUN)
        if padded > self.largest:
            raise DecodeError(Reason.TOO_LARGE)
        if not padded or padded > available:
            return None
        message = bytes(self._buffer[self._start : self._start + length])
        self._start += padded
        return message

    def _number(self, offset: int) -> int:
        at = self._start + offset
        return self._buffer[at] << 8 | self._buffer[at + 1]

    def _stun_length(self, available: int) -> int:
        """The message's length, 0 while its header is too short to tell."""
        if available >= 8 and self._buffer[self._start + 4 : self._start + 8] != COOKIE_BYTES:
            raise DecodeError(Reason.BAD_COOKIE)
        if available < 4:
            return 0
        length = self._number(2)
        if length & 3:
            raise DecodeError(Reason.MALFORMED)
        return HEADER_LENGTH + length

    def _channel_length(self, available: int) -> tuple[int, int]:
        """The message's length without and with padding, 0 while its header is too short to tell."""
        if available < CHANNEL_HEADER_LENGTH:
            return 0, 0
        length = CHANNEL_HEADER_LENGTH + self._number(2)
        return length, length + (-length & 3)
