"""Every attribute of RFC 8489, 8656, 6062, 8016, 7635, 5780 and of ICE's checks (8445): its number and its value.

An attribute is one row: type, name, and the kind of its value. Kinds read and write; they know no policy.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from fairlead.datagram import Address, Family, unpack_host

T = TypeVar("T")

#: The first 16 bytes that XOR-ed values are masked with: cookie and transaction id (RFC 8489 section 14.2).
Mask = bytes


class AttributeValueError(ValueError):
    """An attribute whose value does not have the form that its RFC gives; a request with one gets 400."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """How a value stands on the wire, without padding."""

    read: Callable[[bytes, Mask], T]
    write: Callable[[T, Mask], bytes]


@dataclass(frozen=True, slots=True)
class Attribute(Generic[T]):
    """One row of the attribute registry."""

    type: int
    name: str
    kind: Kind[T]

    def decode(self, value: bytes, mask: Mask) -> T:
        """Raises AttributeValueError when the value does not have its kind's form."""
        try:
            return self.kind.read(value, mask)
        except (AttributeValueError, UnicodeDecodeError, struct.error) as error:
            raise AttributeValueError(f"{self.name}: {error}") from None

    def encode(self, value: T, mask: Mask) -> bytes:
        return self.kind.write(value, mask)


class ErrorCode(NamedTuple):
    """RFC 8489 section 14.8: a code from 300 to 699 and a phrase for people."""

    code: int
    phrase: str


class PasswordAlgorithmValue(NamedTuple):
    """RFC 8489 section 14.12: algorithm number and its parameters (empty for both defined ones)."""

    algorithm: int
    parameters: bytes = b""


class AddressErrorCode(NamedTuple):
    """RFC 8656 section 18.12: why one family of a dual allocation was refused."""

    family: int
    code: int
    phrase: str


class Icmp(NamedTuple):
    """RFC 8656 section 18.13: ICMP type and code, and the data that some types carry (an MTU, for instance)."""

    type: int
    code: int
    data: bytes = bytes(4)


class ChangeRequest(NamedTuple):
    """RFC 5780 section 7.2."""

    change_ip: bool
    change_port: bool


def _exactly(value: bytes, length: int) -> bytes:
    if len(value) != length:
        raise AttributeValueError(f"{len(value)} bytes where {length} belong")
    return value


def _same(value: bytes, mask: Mask) -> bytes:
    return bytes(value)


def _fixed_bytes(length: int) -> Kind[bytes]:
    return Kind(lambda value, mask: _exactly(value, length), _same)


def _text(most: int) -> Kind[str]:
    """UTF-8 of at most `most` bytes."""

    def read(value: bytes, mask: Mask) -> str:
        if len(value) > most:
            raise AttributeValueError(f"{len(value)} bytes where at most {most} may stand")
        return value.decode()

    return Kind(read, lambda value, mask: value.encode())


def _number(layout: str) -> Kind[int]:
    """An unsigned integer that leads the value; what follows it in the layout is reserved and not read."""
    packed = struct.Struct("!" + layout)

    def read(value: bytes, mask: Mask) -> int:
        return int(packed.unpack(value)[0])

    return Kind(read, lambda value, mask: packed.pack(value))


def _flag() -> Kind[bool]:
    """An attribute that says all by being there."""
    return Kind(lambda value, mask: not _exactly(value, 0), lambda value, mask: b"")


def _read_address(value: bytes, mask: Mask) -> Address:
    if len(value) == 8 and value[1] == Family.IPV4:
        return Address(unpack_host(value[4:]), value[2] << 8 | value[3])
    if len(value) == 20 and value[1] == Family.IPV6:
        return Address(unpack_host(value[4:]), value[2] << 8 | value[3])
    raise AttributeValueError(f"no address: {len(value)} bytes of family {value[1] if len(value) > 1 else None}")


#: What stands in front of a host: nothing, family and port; and the family of a host of so many bytes.
_BEFORE_HOST = struct.Struct("!xBH")
_FAMILY_BY_SIZE = {4: Family.IPV4, 16: Family.IPV6}


def _write_address(value: Address, mask: Mask) -> bytes:
    host = value.packed_host
    return _BEFORE_HOST.pack(_FAMILY_BY_SIZE[len(host)], value.port) + host


def _apply_mask(value: bytes, mask: Mask) -> bytes:
    """XORs the port with the cookie's first half and the address with the whole mask."""
    size = len(value)
    masked = int.from_bytes(value) ^ int.from_bytes(b"\0\0" + mask[:2] + mask[: size - 4])
    return masked.to_bytes(size)


def _read_xor_address(value: bytes, mask: Mask) -> Address:
    if len(value) not in (8, 20):
        raise AttributeValueError(f"no address: {len(value)} bytes")
    return _read_address(_apply_mask(value, mask), mask)


def _write_xor_address(value: Address, mask: Mask) -> bytes:
    host = value.packed_host
    size = len(host)
    masked = (int.from_bytes(host) ^ int.from_bytes(mask[:size])).to_bytes(size)
    return _BEFORE_HOST.pack(_FAMILY_BY_SIZE[size], value.port ^ (mask[0] << 8 | mask[1])) + masked


def _read_code(value: bytes) -> tuple[int, str]:
    """The class and number that end the first four bytes, and the phrase behind them."""
    if len(value) < 4 or not 3 <= value[2] & 7 <= 6 or value[3] > 99:
        raise AttributeValueError("no error code from 300 to 699")
    return (value[2] & 7) * 100 + value[3], value[4:].decode()


def _read_error_code(value: bytes, mask: Mask) -> ErrorCode:
    return ErrorCode(*_read_code(value))


def _write_error_code(value: ErrorCode, mask: Mask) -> bytes:
    return bytes((0, 0, value.code // 100, value.code % 100)) + value.phrase.encode()


def _read_address_error_code(value: bytes, mask: Mask) -> AddressErrorCode:
    code, phrase = _read_code(value)
    return AddressErrorCode(value[0], code, phrase)


def _write_address_error_code(value: AddressErrorCode, mask: Mask) -> bytes:
    return bytes((value.family, 0, value.code // 100, value.code % 100)) + value.phrase.encode()


def _read_types(value: bytes, mask: Mask) -> tuple[int, ...]:
    if len(value) % 2:
        raise AttributeValueError("an odd number of bytes in a list of types")
    return struct.unpack(f"!{len(value) // 2}H", value)


def _write_types(value: tuple[int, ...], mask: Mask) -> bytes:
    return struct.pack(f"!{len(value)}H", *value)


def _split_algorithm(value: bytes) -> tuple[PasswordAlgorithmValue, bytes]:
    number, length = struct.unpack("!HH", value[:4])
    end = 4 + length
    if end > len(value):
        raise AttributeValueError("parameters longer than the attribute")
    return PasswordAlgorithmValue(number, bytes(value[4:end])), value[end + (-length % 4) :]


def _read_algorithm(value: bytes, mask: Mask) -> PasswordAlgorithmValue:
    algorithm, rest = _split_algorithm(value)
    if rest:
        raise AttributeValueError("more than one algorithm")
    return algorithm


def _write_algorithm(value: PasswordAlgorithmValue, mask: Mask) -> bytes:
    return struct.pack("!HH", value.algorithm, len(value.parameters)) + value.parameters


def _read_algorithms(value: bytes, mask: Mask) -> tuple[PasswordAlgorithmValue, ...]:
    found = []
    while value:
        algorithm, value = _split_algorithm(value)
        found.append(algorithm)
    return tuple(found)


def _write_algorithms(value: tuple[PasswordAlgorithmValue, ...], mask: Mask) -> bytes:
    rows = (_write_algorithm(row, mask) for row in value)
    return b"".join(row + bytes(-len(row) % 4) for row in rows)


def _read_icmp(value: bytes, mask: Mask) -> Icmp:
    _exactly(value, 8)
    return Icmp(value[2], value[3], bytes(value[4:]))


def _write_icmp(value: Icmp, mask: Mask) -> bytes:
    return bytes((0, 0, value.type, value.code)) + value.data


_CHANGE_IP, _CHANGE_PORT = 0x04, 0x02


def _read_change_request(value: bytes, mask: Mask) -> ChangeRequest:
    flags = _exactly(value, 4)[3]
    return ChangeRequest(bool(flags & _CHANGE_IP), bool(flags & _CHANGE_PORT))


def _write_change_request(value: ChangeRequest, mask: Mask) -> bytes:
    return bytes((0, 0, 0, _CHANGE_IP * value.change_ip | _CHANGE_PORT * value.change_port))


def _read_even_port(value: bytes, mask: Mask) -> bool:
    return bool(_exactly(value, 1)[0] & 0x80)


_ADDRESS = Kind(_read_address, _write_address)
_XOR_ADDRESS = Kind(_read_xor_address, _write_xor_address)
_BYTES: Kind[bytes] = Kind(_same, _same)
_TYPES = Kind(_read_types, _write_types)
_U32 = _number("I")
_U64 = _number("Q")
_U16_AND_RESERVED = _number("Hxx")
_U8_AND_RESERVED = _number("Bxxx")

# RFC 8489 section 14
MAPPED_ADDRESS = Attribute(0x0001, "MAPPED-ADDRESS", _ADDRESS)
USERNAME = Attribute(0x0006, "USERNAME", _text(508))
MESSAGE_INTEGRITY = Attribute(0x0008, "MESSAGE-INTEGRITY", _fixed_bytes(20))
ERROR_CODE = Attribute(0x0009, "ERROR-CODE", Kind(_read_error_code, _write_error_code))
UNKNOWN_ATTRIBUTES = Attribute(0x000A, "UNKNOWN-ATTRIBUTES", _TYPES)
REALM = Attribute(0x0014, "REALM", _text(763))
NONCE = Attribute(0x0015, "NONCE", _text(763))
MESSAGE_INTEGRITY_SHA256 = Attribute(0x001C, "MESSAGE-INTEGRITY-SHA256", _BYTES)
PASSWORD_ALGORITHM = Attribute(0x001D, "PASSWORD-ALGORITHM", Kind(_read_algorithm, _write_algorithm))
USERHASH = Attribute(0x001E, "USERHASH", _fixed_bytes(32))
XOR_MAPPED_ADDRESS = Attribute(0x0020, "XOR-MAPPED-ADDRESS", _XOR_ADDRESS)
PASSWORD_ALGORITHMS = Attribute(0x8002, "PASSWORD-ALGORITHMS", Kind(_read_algorithms, _write_algorithms))
ALTERNATE_DOMAIN = Attribute(0x8003, "ALTERNATE-DOMAIN", _text(255))
SOFTWARE = Attribute(0x8022, "SOFTWARE", _text(763))
ALTERNATE_SERVER = Attribute(0x8023, "ALTERNATE-SERVER", _ADDRESS)
FINGERPRINT = Attribute(0x8028, "FINGERPRINT", _U32)

# RFC 8656 section 18
CHANNEL_NUMBER = Attribute(0x000C, "CHANNEL-NUMBER", _U16_AND_RESERVED)
LIFETIME = Attribute(0x000D, "LIFETIME", _U32)
XOR_PEER_ADDRESS = Attribute(0x0012, "XOR-PEER-ADDRESS", _XOR_ADDRESS)
DATA = Attribute(0x0013, "DATA", _BYTES)
XOR_RELAYED_ADDRESS = Attribute(0x0016, "XOR-RELAYED-ADDRESS", _XOR_ADDRESS)
REQUESTED_ADDRESS_FAMILY = Attribute(0x0017, "REQUESTED-ADDRESS-FAMILY", _U8_AND_RESERVED)
EVEN_PORT = Attribute(0x0018, "EVEN-PORT", Kind(_read_even_port, lambda value, mask: bytes((value << 7,))))
REQUESTED_TRANSPORT = Attribute(0x0019, "REQUESTED-TRANSPORT", _U8_AND_RESERVED)
#: its value for UDP, as IP numbers protocols
UDP = 17
DONT_FRAGMENT = Attribute(0x001A, "DONT-FRAGMENT", _flag())
RESERVATION_TOKEN = Attribute(0x0022, "RESERVATION-TOKEN", _fixed_bytes(8))
ADDITIONAL_ADDRESS_FAMILY = Attribute(0x8000, "ADDITIONAL-ADDRESS-FAMILY", _U8_AND_RESERVED)
ADDRESS_ERROR_CODE = Attribute(0x8001, "ADDRESS-ERROR-CODE", Kind(_read_address_error_code, _write_address_error_code))
ICMP = Attribute(0x8004, "ICMP", Kind(_read_icmp, _write_icmp))

# RFC 6062 section 6.2, RFC 8016 section 4.3, RFC 7635 section 6
CONNECTION_ID = Attribute(0x002A, "CONNECTION-ID", _U32)
MOBILITY_TICKET = Attribute(0x8030, "MOBILITY-TICKET", _BYTES)
ACCESS_TOKEN = Attribute(0x001B, "ACCESS-TOKEN", _BYTES)
THIRD_PARTY_AUTHORIZATION = Attribute(0x802E, "THIRD-PARTY-AUTHORIZATION", _text(763))

# RFC 5780 section 7
CHANGE_REQUEST = Attribute(0x0003, "CHANGE-REQUEST", Kind(_read_change_request, _write_change_request))
PADDING = Attribute(0x0026, "PADDING", _BYTES)
RESPONSE_PORT = Attribute(0x0027, "RESPONSE-PORT", _U16_AND_RESERVED)
RESPONSE_ORIGIN = Attribute(0x802B, "RESPONSE-ORIGIN", _ADDRESS)
OTHER_ADDRESS = Attribute(0x802C, "OTHER-ADDRESS", _ADDRESS)

# RFC 8445 section 16.1: in the checks that ICE agents send, and in RFC 5769's vectors
PRIORITY = Attribute(0x0024, "PRIORITY", _U32)
USE_CANDIDATE = Attribute(0x0025, "USE-CANDIDATE", _flag())
ICE_CONTROLLED = Attribute(0x8029, "ICE-CONTROLLED", _U64)
ICE_CONTROLLING = Attribute(0x802A, "ICE-CONTROLLING", _U64)

#: Every attribute above by its type.
REGISTRY: dict[int, Attribute[Any]] = {row.type: row for row in list(globals().values()) if isinstance(row, Attribute)}
