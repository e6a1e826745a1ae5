"""The 20 bytes that every STUN message begins with (RFC 8489 section 5)."""

import enum
import struct
from functools import lru_cache

from fairlead.reasons import Reason

MAGIC_COOKIE = 0x2112A442
COOKIE_BYTES = MAGIC_COOKIE.to_bytes(4)
HEADER_LENGTH = 20
TRANSACTION_ID_LENGTH = 12

#: Nobody who has proved nothing has to say more than this many bytes at once.
LARGEST_REQUEST = 2048

#: type, length, cookie
HEADER = struct.Struct("!HHI")


class DecodeError(Exception):
    """Bytes that are no STUN message; they are counted under `reason` and never answered."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Method(enum.IntEnum):
    """STUN methods: RFC 8489, 8656 section 17, 6062 section 6.1."""

    BINDING = 0x001
    ALLOCATE = 0x003
    REFRESH = 0x004
    SEND = 0x006
    DATA = 0x007
    CREATE_PERMISSION = 0x008
    CHANNEL_BIND = 0x009
    CONNECT = 0x00A
    CONNECTION_BIND = 0x00B
    CONNECTION_ATTEMPT = 0x00C


class Class(enum.IntEnum):
    """Message classes (RFC 8489 section 5)."""

    REQUEST = 0b00
    INDICATION = 0b01
    SUCCESS = 0b10
    ERROR = 0b11


def read_header(data: bytes, classic: bool = False) -> int:
    """The type of a message that fills `data` exactly; `classic` admits RFC 3489 clients, which know no cookie.

    Raises DecodeError when the first bits, the length or the cookie are wrong.
    """
    if len(data) < HEADER_LENGTH:
        raise DecodeError(Reason.NOT_STUN if data else Reason.EMPTY)
    kind: int
    kind, length, cookie = HEADER.unpack_from(data)
    if kind >= 0x4000:
        raise DecodeError(Reason.NOT_STUN)
    if length & 3 or length != len(data) - HEADER_LENGTH:
        raise DecodeError(Reason.MALFORMED)
    if cookie != MAGIC_COOKIE and not classic:
        raise DecodeError(Reason.BAD_COOKIE)
    return kind


@lru_cache(maxsize=128)
def message_type(method: int, message_class: Class) -> int:
    """Interleaves method and class bits: M11..M7 C1 M6..M4 C0 M3..M0 (RFC 8489 figure 3)."""
    return (
        (method & 0x00F)
        | (method & 0x070) << 1
        | (method & 0xF80) << 2
        | (message_class & 0b01) << 4
        | (message_class & 0b10) << 7
    )


@lru_cache(maxsize=128)
def split_message_type(value: int) -> tuple[int, Class]:
    """The inverse of message_type for a value below 0x4000; the method may be one that nobody defined."""
    method = (value & 0x000F) | (value & 0x00E0) >> 1 | (value & 0x3E00) >> 2
    return method, Class((value & 0x0010) >> 4 | (value & 0x0100) >> 7)
