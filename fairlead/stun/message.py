"""Whole messages: bytes to Message, and attributes to bytes (RFC 8489 sections 5, 6.1 and 14).

Message.visible is the only way to attributes. It ends where integrity protection ends: nothing that an attacker
could have appended behind MESSAGE-INTEGRITY is ever seen, except the stronger integrity and FINGERPRINT.
"""

import hmac
import struct
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, NamedTuple, TypeVar

from fairlead.reasons import Reason
from fairlead.stun.attributes import FINGERPRINT, MESSAGE_INTEGRITY, MESSAGE_INTEGRITY_SHA256, Attribute
from fairlead.stun.header import (
    COOKIE_BYTES,
    HEADER_LENGTH,
    Class,
    DecodeError,
    message_type,
    read_header,
    split_message_type,
)
from fairlead.stun.integrity import Integrity, compute, fingerprint, mac

T = TypeVar("T")

MOST_UNKNOWN = 64
#: Attributes of a message, those behind its integrity included: a CreatePermission for 256 peers fits.
MOST_ATTRIBUTES = 320

#: Two numbers of 16 bits: type and length, which messages and attributes begin with.
_HEAD = struct.Struct("!HH")
_PADDING = (b"", bytes(3), bytes(2), bytes(1))


class RawAttribute(NamedTuple):
    """One attribute as it stands in the message: type, where its header begins, its value without padding."""

    type: int
    offset: int
    value: bytes


class Message(NamedTuple):
    """One decoded message. `visible` keeps order and duplicates; of duplicates the first counts, which `leading` has by
    its type.

    `mask` is the cookie (or, of an RFC 3489 client, what stands in its place) and the transaction id: 16 bytes.
    """

    data: bytes
    method: int
    message_class: Class
    mask: bytes
    visible: Sequence[RawAttribute]
    leading: Mapping[int, RawAttribute]

    @property
    def transaction_id(self) -> bytes:
        return self.mask[4:]

    @property
    def is_classic(self) -> bool:
        """Whether an RFC 3489 client sent it, which knows no cookie."""
        return self.mask[:4] != COOKIE_BYTES

    def has(self, attribute: Attribute[Any]) -> bool:
        return attribute.type in self.leading

    def first(self, attribute: Attribute[T]) -> T | None:
        """The value of the first such attribute, None without one; raises AttributeValueError on a bad value."""
        raw = self.leading.get(attribute.type)
        return None if raw is None else attribute.decode(raw.value, self.mask)

    def all(self, attribute: Attribute[T]) -> list[T]:
        """All values of an attribute in their order; raises AttributeValueError on a bad one."""
        return [attribute.decode(raw.value, self.mask) for raw in self.visible if raw.type == attribute.type]

    def unknown(self, known: Set[int]) -> tuple[int, ...]:
        """Types that must be understood and are not among `known` (RFC 8489 section 6.3.1), each once; of more than
        MOST_UNKNOWN the first ones, so that a reply which names them stays small."""
        if self.leading.keys() <= known:
            return ()
        found = [kind for kind in self.leading if kind < 0x8000 and kind not in known]
        return tuple(found[:MOST_UNKNOWN])

    def is_intact(self, integrity: Integrity, key: bytes) -> bool:
        """Whether the first attribute of this generation is there and is right; in constant time."""
        raw = self.leading.get(integrity.attribute.type)
        if raw is None or len(raw.value) not in integrity.lengths:
            return False
        return hmac.compare_digest(compute(integrity, key, self.data, raw.offset, len(raw.value)), raw.value)


def decode(data: bytes, classic: bool = False) -> Message:
    """Reads one message that fills `data` exactly; `classic` admits RFC 3489 clients too.

    Raises DecodeError when the bytes are no STUN message: wrong first bits, lengths or cookie, an attribute that
    leaves the message, a FINGERPRINT that does not match; or when it has more than MOST_ATTRIBUTES.
    """
    method, message_class = split_message_type(read_header(data, classic))
    visible, leading = _read_attributes(data)
    return Message(data, method, message_class, data[4:20], visible, leading)


#: What may still be seen behind each of the attributes that end the protected part.
_SEEN_BEHIND = {
    MESSAGE_INTEGRITY.type: frozenset({MESSAGE_INTEGRITY_SHA256.type, FINGERPRINT.type}),
    MESSAGE_INTEGRITY_SHA256.type: frozenset({FINGERPRINT.type}),
    FINGERPRINT.type: frozenset[int](),
}


def _read_attributes(data: bytes) -> tuple[list[RawAttribute], dict[int, RawAttribute]]:
    """What is visible, and of each type the first."""
    visible: list[RawAttribute] = []
    leading: dict[int, RawAttribute] = {}
    seen: frozenset[int] | None = None
    offset, end = HEADER_LENGTH, len(data)
    for _ in range(MOST_ATTRIBUTES):
        if offset >= end:
            break
        kind, length = _HEAD.unpack_from(data, offset)
        start = offset + 4
        stop = start + length
        if stop > end:
            raise DecodeError(Reason.MALFORMED)
        if seen is None or kind in seen:
            # What RawAttribute(...) does, without the call into Python for each attribute of each message.
            raw = tuple.__new__(RawAttribute, (kind, offset, data[start:stop]))
            visible.append(raw)
            leading.setdefault(kind, raw)
            if kind in _SEEN_BEHIND:
                seen = _SEEN_BEHIND[kind]
                if kind == FINGERPRINT.type:
                    _check_fingerprint(data, offset, stop)
        offset = stop + (-stop & 3)
    if offset < end:
        raise DecodeError(Reason.TOO_LARGE)
    return visible, leading


def _check_fingerprint(data: bytes, offset: int, stop: int) -> None:
    if stop - offset != 8:
        raise DecodeError(Reason.MALFORMED)
    if int.from_bytes(data[offset + 4 : stop]) != fingerprint(data, offset):
        raise DecodeError(Reason.BAD_FINGERPRINT)


class Signature(NamedTuple):
    """What a message is signed with: a generation of integrity and its key."""

    integrity: Integrity
    key: bytes


def encode(
    method: int,
    message_class: Class,
    mask: bytes,
    attributes: Iterable[tuple[Attribute[Any], Any]] = (),
    signature: Signature | None = None,
    with_fingerprint: bool = False,
) -> bytes:
    """Writes a message: `mask` is cookie and transaction id as in Message, padding is zero.

    Integrity comes behind all attributes, FINGERPRINT last.
    """
    pieces: list[bytes] = []
    for each, value in attributes:
        written = each.kind.write(value, mask)
        pieces += _HEAD.pack(each.type, len(written)), written, _PADDING[len(written) & 3]
    body = b"".join(pieces)
    kind = message_type(method, message_class)
    if signature is not None:
        # What is signed counts its signature already.
        integrity, key = signature
        covered = _HEAD.pack(kind, len(body) + 4 + integrity.size) + mask + body
        body += _HEAD.pack(integrity.attribute.type, integrity.size) + mac(integrity, key, covered)
    if with_fingerprint:
        covered = _HEAD.pack(kind, len(body) + 8) + mask + body
        body += _HEAD.pack(FINGERPRINT.type, 4) + fingerprint(covered, len(covered)).to_bytes(4)
    return _HEAD.pack(kind, len(body)) + mask + body


def new_mask(transaction_id: bytes) -> bytes:
    """The mask of a message that begins a transaction; 12 unpredictable bytes."""
    return COOKIE_BYTES + transaction_id
