"""Keys and MACs against what the RFCs print and against formulas written out here."""

import hashlib
import hmac
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.stun import attributes as stun
from fairlead.stun.header import Class, Method
from fairlead.stun.integrity import (
    SHA1,
    SHA256,
    Integrity,
    PasswordAlgorithm,
    PreparedKey,
    PreparedMac,
    compute,
    long_term_key,
    opaque_string,
    userhash,
)
from fairlead.stun.message import Signature, decode, encode
from tests.fairlead.stun.values import masks

MASK = bytes.fromhex("2112a442b7e7a701bc34d686fa87dfae")


@given(key=st.binary(max_size=200), message=st.binary(max_size=300), digest=st.sampled_from(["sha1", "sha256"]))
def test_a_prepared_mac_is_that_of_the_standard_library(key: bytes, message: bytes, digest: str) -> None:
    mac = PreparedMac(key, digest)
    for text in (message, b"", message):
        assert mac.digest(text) == hmac.digest(key, text, digest)


@pytest.mark.parametrize("integrity", [SHA1, SHA256])
def test_a_prepared_key_is_its_bytes(integrity: Integrity) -> None:
    key, message = b"sixteen bytes...", bytes(40)
    prepared = PreparedKey(key, integrity)
    assert prepared == key
    assert compute(integrity, prepared, message, 40, 20) == compute(integrity, key, message, 40, 20)


def test_rfc8489_9_2_2_example() -> None:
    key = long_term_key("user", "realm", "pass", PasswordAlgorithm.MD5)
    assert key.hex() == "8493fbc53ba582fb4c044c456bdc40eb"


def test_rfc8489_18_5_1_2_key() -> None:
    key = long_term_key("user", "realm", "pass", PasswordAlgorithm.SHA256)
    assert key == hashlib.sha256(b"user:realm:pass").digest()


def test_rfc8489_14_4_userhash() -> None:
    assert userhash("user", "realm") == hashlib.sha256(b"user:realm").digest()


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("correct horse", "correct horse"),
        ("a\u00a0b\u2003c\u3000d", "a b c d"),
        ("e\u0301", "\u00e9"),
        ("\u2168", "\u2168"),
    ],
)
def test_rfc8265_4_2_opaque_string(typed: str, meant: str) -> None:
    assert opaque_string(typed) == meant
    key = long_term_key("user", "realm", typed, PasswordAlgorithm.MD5)
    assert key == long_term_key("user", "realm", meant, PasswordAlgorithm.MD5)


@pytest.mark.parametrize("integrity", [SHA1, SHA256])
@given(key=st.binary(max_size=40), software=st.text(max_size=40), mask=masks)
def test_rfc8489_14_5_the_mac_covers_a_length_that_ends_with_itself(
    integrity: Integrity, key: bytes, software: str, mask: bytes
) -> None:
    data = encode(Method.BINDING, Class.REQUEST, mask, [(stun.SOFTWARE, software)], Signature(integrity, key), True)
    offset = len(data) - 8 - 4 - integrity.size
    covered = data[:2] + (offset + 4 + integrity.size - 20).to_bytes(2) + data[4:offset]
    assert data[offset + 4 : -8] == hmac.new(key, covered, integrity.digest).digest()


@given(software=st.text(max_size=40), mask=masks)
def test_rfc8489_14_7_fingerprint(software: str, mask: bytes) -> None:
    data = encode(Method.BINDING, Class.REQUEST, mask, [(stun.SOFTWARE, software)], with_fingerprint=True)
    assert int.from_bytes(data[-4:]) == zlib.crc32(data[:-8]) ^ 0x5354554E
    assert data[-8:-4] == bytes.fromhex("80280004")


@pytest.mark.parametrize("size", range(41))
def test_rfc8489_14_6_sha256_may_be_cut(size: int) -> None:
    """To multiples of 4 from 16 to 32 bytes; whatever is shorter could be guessed."""
    bare = encode(Method.BINDING, Class.REQUEST, MASK)
    value = compute(SHA256, b"key", bare, len(bare), size).ljust(size, b"\0")
    attribute = bytes.fromhex("001c") + size.to_bytes(2) + value + bytes(-size % 4)
    message = decode(bare[:2] + len(attribute).to_bytes(2) + bare[4:] + attribute)
    assert message.is_intact(SHA256, b"key") is (size in (16, 20, 24, 28, 32))


@pytest.mark.parametrize("size", [0, 4, 16, 19, 21, 24])
def test_rfc8489_14_5_sha1_may_not_be_cut(size: int) -> None:
    bare = encode(Method.BINDING, Class.REQUEST, MASK)
    value = compute(SHA1, b"key", bare, len(bare), size).ljust(size, b"\0")
    attribute = bytes.fromhex("0008") + size.to_bytes(2) + value + bytes(-size % 4)
    message = decode(bare[:2] + len(attribute).to_bytes(2) + bare[4:] + attribute)
    assert not message.is_intact(SHA1, b"key")
