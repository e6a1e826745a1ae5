"""MESSAGE-INTEGRITY of both generations, FINGERPRINT, and the keys behind them (RFC 8489 sections 9, 14.5 to 14.7)."""

import enum
import hashlib
import hmac
import unicodedata
import zlib
from dataclasses import dataclass

from fairlead.stun.attributes import MESSAGE_INTEGRITY, MESSAGE_INTEGRITY_SHA256, Attribute

FINGERPRINT_XOR = 0x5354554E


@dataclass(frozen=True, slots=True)
class Integrity:
    """One generation of message integrity: its attribute, its hash, and the lengths it may have on the wire."""

    attribute: Attribute[bytes]
    digest: str
    lengths: frozenset[int]
    size: int


SHA1 = Integrity(MESSAGE_INTEGRITY, "sha1", frozenset({20}), 20)
#: May be cut to any multiple of 4 down to 16 (RFC 8489 section 14.6).
SHA256 = Integrity(MESSAGE_INTEGRITY_SHA256, "sha256", frozenset(range(16, 33, 4)), 32)


class PasswordAlgorithm(enum.IntEnum):
    """How a long-term key comes from a password (RFC 8489 section 18.5)."""

    MD5 = 0x0001
    SHA256 = 0x0002


def opaque_string(text: str) -> str:
    """The one form of a realm or password that may be typed in several ways (RFC 8265 section 4.2): every space is
    U+0020, characters are composed (NFC)."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", "".join(" " if unicodedata.category(c) == "Zs" else c for c in text))


def long_term_key(username: str, realm: str, password: str, algorithm: PasswordAlgorithm) -> bytes:
    """The key of RFC 8489 section 9.2.2: 16 bytes with MD5, 32 with SHA-256. The username is taken as it comes."""
    text = f"{username}:{opaque_string(realm)}:{opaque_string(password)}".encode()
    if algorithm is PasswordAlgorithm.MD5:
        return hashlib.md5(text, usedforsecurity=False).digest()
    return hashlib.sha256(text).digest()


def userhash(username: str, realm: str) -> bytes:
    """The 32 bytes of USERHASH (RFC 8489 section 14.4)."""
    return hashlib.sha256(f"{opaque_string(username)}:{opaque_string(realm)}".encode()).digest()


def with_length(message: bytes, offset: int, end: int) -> bytes:
    """The first bytes of a message up to an attribute at `offset`, its length field set as if it ended at `end`."""
    return message[:2] + (end - 20).to_bytes(2) + message[4:offset]


#: What each byte of a key becomes in the inner and in the outer block.
_PADS = tuple(bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))


class PreparedMac:
    """HMAC (RFC 2104) under one key, whose two blocks are hashed once: what hmac.digest says, at less than half of its
    price for short messages."""

    def __init__(self, key: bytes, digest: str) -> None:
        block = hashlib.new(digest).block_size
        if len(key) > block:
            key = hashlib.new(digest, key).digest()
        padded = key.ljust(block, b"\0")
        self._inner, self._outer = (hashlib.new(digest, padded.translate(pad)) for pad in _PADS)

    def digest(self, covered: bytes) -> bytes:
        """The whole HMAC over these bytes."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(covered)
        outer.update(inner.digest())
        return outer.digest()


class PreparedKey(PreparedMac, bytes):
    """A key whose HMAC is set up once, for whoever uses it again and again; it equals its bytes."""

    def __new__(cls, key: bytes, integrity: Integrity) -> "PreparedKey":
        return bytes.__new__(cls, key)

    def __init__(self, key: bytes, integrity: Integrity) -> None:
        super().__init__(key, integrity.digest)
        self.integrity = integrity


def compute(integrity: Integrity, key: bytes, message: bytes, offset: int, size: int) -> bytes:
    """The HMAC over all before `offset`, where the attribute stands (or is to stand), cut to `size` bytes."""
    return mac(integrity, key, with_length(message, offset, offset + 4 + size))[:size]


def mac(integrity: Integrity, key: bytes, covered: bytes) -> bytes:
    """The whole HMAC over what precedes the attribute, whose length field counts the attribute already."""
    if isinstance(key, PreparedKey) and key.integrity is integrity:
        return key.digest(covered)
    return hmac.digest(key, covered, integrity.digest)


def fingerprint(message: bytes, offset: int) -> int:
    """The value of a FINGERPRINT that stands (or is to stand) at `offset` (RFC 8489 section 14.7)."""
    return zlib.crc32(with_length(message, offset, offset + 8)) ^ FINGERPRINT_XOR
