"""The relay's two indications as bytes: Send is read, Data is written around a datagram (RFC 8656 section 11)."""

import zlib
from struct import Struct
from typing import NamedTuple

from fairlead.datagram import Family
from fairlead.stun.attributes import DATA, FINGERPRINT, XOR_PEER_ADDRESS
from fairlead.stun.header import HEADER_LENGTH, MAGIC_COOKIE, Class, Method, message_type
from fairlead.stun.integrity import FINGERPRINT_XOR

SEND_INDICATION = message_type(Method.SEND, Class.INDICATION)
DATA_INDICATION = message_type(Method.DATA, Class.INDICATION)

_HEADER = Struct("!HHI")
_ATTRIBUTE = Struct("!HH")
_FINGERPRINT_LENGTH = 8
_PORT_MASK = MAGIC_COOKIE >> 16

#: The value of XOR-PEER-ADDRESS: its length, and how its family is written there.
_IPV4_LENGTH, _IPV6_LENGTH = 8, 20
_PEER_ADDRESS = Struct("!xBHI")

#: Header, XOR-PEER-ADDRESS whole, the header of DATA. The transaction id stands as its high and low part.
_DATA_OVER_IPV4 = Struct("!HHIIQ HHHHI HH")
_DATA_OVER_IPV6 = Struct("!HHIIQ HHHH16s HH")
_LOW_PART = (1 << 64) - 1

_ZEROS = tuple(bytes(count) for count in range(4))


class SendIndication(NamedTuple):
    """A Send indication of the plain shape: whom it is for, as integers, and where its data stands."""

    family: Family
    host: int
    port: int
    start: int
    end: int


def read_send(message: bytes | bytearray | memoryview, size: int) -> SendIndication | None:
    """Reads the first `size` bytes when they are a Send indication of the plain shape, else returns None.

    Plain are XOR-PEER-ADDRESS and DATA, once each and in either order, and nothing else but a FINGERPRINT that
    matches.
    """
    if size < HEADER_LENGTH:
        return None
    kind, length, cookie = _HEADER.unpack_from(message)
    if kind != SEND_INDICATION or cookie != MAGIC_COOKIE or length & 3 or length + HEADER_LENGTH != size:
        return None
    peer = start = end = 0
    offset = HEADER_LENGTH
    while offset < size:
        kind, length = _ATTRIBUTE.unpack_from(message, offset)
        value = offset + 4
        offset = value + (length + 3 & ~3)
        if offset > size:
            return None
        if kind == DATA.type and not start:
            start, end = value, value + length
        elif kind == XOR_PEER_ADDRESS.type and not peer and length in (_IPV4_LENGTH, _IPV6_LENGTH):
            peer = value
        elif kind != FINGERPRINT.type or offset != size or not _is_right(message, value, length):
            return None
    return _addressed(message, peer, start, end) if peer and start else None


def _is_right(message: bytes | bytearray | memoryview, value: int, length: int) -> bool:
    """Whether the FINGERPRINT that ends a message matches it (RFC 8489 section 14.7)."""
    covered = memoryview(message)[: value - 4]
    return length == 4 and int.from_bytes(message[value : value + 4]) == zlib.crc32(covered) ^ FINGERPRINT_XOR


def _addressed(message: bytes | bytearray | memoryview, peer: int, start: int, end: int) -> SendIndication | None:
    length = int.from_bytes(message[peer - 2 : peer])
    family, port, host = _PEER_ADDRESS.unpack_from(message, peer)
    if length == _IPV4_LENGTH and family == Family.IPV4:
        return SendIndication(Family.IPV4, host ^ MAGIC_COOKIE, port ^ _PORT_MASK, start, end)
    if length == _IPV6_LENGTH and family == Family.IPV6:
        host = int.from_bytes(message[peer + 4 : peer + 20]) ^ int.from_bytes(message[4:20])
        return SendIndication(Family.IPV6, host, port ^ _PORT_MASK, start, end)
    return None


def write_data(
    buffer: bytearray, offset: int, size: int, family: Family, host: int, port: int, transaction: int
) -> tuple[int, int]:
    """Makes a Data indication of the `size` bytes at `offset`: header in front, zeros behind; returns its two ends.

    There must be room: 36 bytes in front for a peer of IPv4, 48 for one of IPv6, 3 behind.
    """
    high, low = transaction >> 64, transaction & _LOW_PART
    xor_port = port ^ _PORT_MASK
    padding = -size & 3
    end = offset + size + padding
    if padding:
        buffer[offset + size : end] = _ZEROS[padding]
    if family is Family.IPV4:
        start = offset - _DATA_OVER_IPV4.size
        length = end - start - HEADER_LENGTH
        _DATA_OVER_IPV4.pack_into(
            buffer, start, DATA_INDICATION, length, MAGIC_COOKIE, high, low,
            XOR_PEER_ADDRESS.type, _IPV4_LENGTH, family, xor_port, host ^ MAGIC_COOKIE, DATA.type, size,
        )  # fmt: skip
    else:
        start = offset - _DATA_OVER_IPV6.size
        length = end - start - HEADER_LENGTH
        xor_host = (host ^ (MAGIC_COOKIE << 96 | transaction)).to_bytes(16)
        _DATA_OVER_IPV6.pack_into(
            buffer, start, DATA_INDICATION, length, MAGIC_COOKIE, high, low,
            XOR_PEER_ADDRESS.type, _IPV6_LENGTH, family, xor_port, xor_host, DATA.type, size,
        )  # fmt: skip
    return start, end
