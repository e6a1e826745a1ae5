"""The relay's two indications as bytes: Send is read, Data is written around a datagram (RFC 8656 section 11)."""

import zlib
from struct import Struct
from typing import TypeAlias

from fairlead.datagram import Family
from fairlead.stun import attributes
from fairlead.stun.header import HEADER, HEADER_LENGTH, MAGIC_COOKIE, Class, Method, message_type
from fairlead.stun.integrity import FINGERPRINT_XOR

Message: TypeAlias = bytes | bytearray | memoryview
#: A Send indication of the plain shape: whom it is for (family, host as an integer, port), and where its data begins
#: and ends. A plain tuple, since one is made for every packet.
SendIndication: TypeAlias = tuple[Family, int, int, int, int]

# Every packet asks for these: names of this module are looked up at once, attributes of enums are not.
_SEND = message_type(Method.SEND, Class.INDICATION)
_DATA_INDICATION = message_type(Method.DATA, Class.INDICATION)
_PEER = attributes.XOR_PEER_ADDRESS.type
_DATA = attributes.DATA.type
_FINGERPRINT = attributes.FINGERPRINT.type
_IPV4, _IPV6 = Family.IPV4, Family.IPV6
_PORT_MASK = MAGIC_COOKIE >> 16
_ZEROS = tuple(bytes(count) for count in range(4))

_ATTRIBUTE = Struct("!HH")
#: XOR-PEER-ADDRESS: its length by family, and the value over IPv4, whose family and port stand there over IPv6 too.
_IPV4_LENGTH, _IPV6_LENGTH = 8, 20
_PEER_VALUE = Struct("!xBHI")
#: Header, XOR-PEER-ADDRESS whole, the header of DATA. The transaction id stands as its high and low part.
_DATA_OVER_IPV4 = Struct("!HHIIQ HHHHI HH")
_DATA_OVER_IPV6 = Struct("!HHIIQ HHHH16s HH")
_LOW_PART = (1 << 64) - 1
#: The most data that the length of a Data indication has room for, by the peer's family. A datagram of IPv6 can be
#: longer.
LONGEST_DATA = {
    _IPV4: 0xFFFC + HEADER_LENGTH - _DATA_OVER_IPV4.size,
    _IPV6: 0xFFFC + HEADER_LENGTH - _DATA_OVER_IPV6.size,
}


def read_send(message: Message, size: int) -> SendIndication | None:
    """Reads the first `size` bytes when they are a Send indication of the plain shape, else returns None.

    Plain are XOR-PEER-ADDRESS and DATA, once each and in either order, and nothing else but a FINGERPRINT that
    matches.
    """
    if size < HEADER_LENGTH:
        return None
    kind, length, cookie = HEADER.unpack_from(message)
    if kind != _SEND or cookie != MAGIC_COOKIE or length & 3 or length + HEADER_LENGTH != size:
        return None
    peer = peer_length = start = end = 0
    offset = HEADER_LENGTH
    while offset < size:
        kind, length = _ATTRIBUTE.unpack_from(message, offset)
        value = offset + 4
        offset = value + (length + 3 & ~3)
        if kind == _DATA and not start:
            start, end = value, value + length
        elif kind == _PEER and not peer:
            peer, peer_length = value, length
        elif kind != _FINGERPRINT or offset != size or not _is_right(message, value, length):
            return None
    if offset > size or not peer or not start:
        return None
    return _addressed(message, peer, peer_length, start, end)


def _is_right(message: Message, value: int, length: int) -> bool:
    """Whether the FINGERPRINT that ends a message matches it (RFC 8489 section 14.7)."""
    covered = memoryview(message)[: value - 4]
    return length == 4 and int.from_bytes(message[value : value + 4]) == zlib.crc32(covered) ^ FINGERPRINT_XOR


def _addressed(message: Message, peer: int, length: int, start: int, end: int) -> SendIndication | None:
    if length < _IPV4_LENGTH:
        return None  # a value that ends the message may be shorter than what would be read of it
    family, port, host = _PEER_VALUE.unpack_from(message, peer)
    if length == _IPV4_LENGTH and family == _IPV4:
        return _IPV4, host ^ MAGIC_COOKIE, port ^ _PORT_MASK, start, end
    if length == _IPV6_LENGTH and family == _IPV6:
        host = int.from_bytes(message[peer + 4 : peer + 20]) ^ int.from_bytes(message[4:20])
        return _IPV6, host, port ^ _PORT_MASK, start, end
    return None


def write_data(
    buffer: bytearray, offset: int, size: int, family: Family, host: int, port: int, transaction: int
) -> tuple[int, int]:
    """Makes a Data indication of the `size` bytes at `offset`: header in front, zeros behind; returns its two ends.

    There must be room: 36 bytes in front for a peer of IPv4, 48 for one of IPv6, 3 behind; and at most LONGEST_DATA.
    """
    high, low = transaction >> 64, transaction & _LOW_PART
    xor_port = port ^ _PORT_MASK
    padding = -size & 3
    end = offset + size + padding
    if padding:
        buffer[offset + size : end] = _ZEROS[padding]
    if family is _IPV4:
        start = offset - _DATA_OVER_IPV4.size
        length = end - start - HEADER_LENGTH
        _DATA_OVER_IPV4.pack_into(
            buffer, start, _DATA_INDICATION, length, MAGIC_COOKIE, high, low,
            _PEER, _IPV4_LENGTH, family, xor_port, host ^ MAGIC_COOKIE, _DATA, size,
        )  # fmt: skip
    else:
        start = offset - _DATA_OVER_IPV6.size
        length = end - start - HEADER_LENGTH
        xor_host = (host ^ (MAGIC_COOKIE << 96 | transaction)).to_bytes(16)
        _DATA_OVER_IPV6.pack_into(
            buffer, start, _DATA_INDICATION, length, MAGIC_COOKIE, high, low,
            _PEER, _IPV6_LENGTH, family, xor_port, xor_host, _DATA, size,
        )  # fmt: skip
    return start, end
