"""The printed vectors: read, written again byte for byte, and refused with any one bit changed."""

import pytest

from fairlead.datagram import Address
from fairlead.reasons import Reason
from fairlead.stun import attributes as stun
from fairlead.stun.header import Class, DecodeError, Method
from fairlead.stun.integrity import userhash
from fairlead.stun.message import Message, Signature, decode, encode
from tests.fairlead.stun.vectors import (
    IPV4_RESPONSE,
    IPV6_RESPONSE,
    LONG_TERM_REQUEST,
    REALM,
    REQUEST,
    SHA256_REQUEST,
    SHA256_REQUEST_AS_PRINTED,
    USERNAME,
    VECTORS,
    Vector,
)

each_vector = pytest.mark.parametrize("vector", VECTORS, ids=[vector.name for vector in VECTORS])


def is_accepted(data: bytes, vector: Vector) -> bool:
    try:
        return decode(data).is_intact(vector.integrity, vector.key)
    except DecodeError:
        return False


@each_vector
def test_rfc5769_vector_is_intact(vector: Vector) -> None:
    message = decode(vector.data)
    assert message.method == Method.BINDING
    assert message.is_intact(vector.integrity, vector.key)
    assert not message.is_intact(vector.integrity, vector.key + b"?")


def test_rfc5769_2_1_values() -> None:
    message = decode(REQUEST)
    assert message.message_class is Class.REQUEST
    assert message.transaction_id.hex() == "b7e7a701bc34d686fa87dfae"
    assert message.first(stun.SOFTWARE) == "STUN test client"
    assert message.first(stun.PRIORITY) == 0x6E0001FF
    assert message.first(stun.ICE_CONTROLLED) == 0x932FF9B151263B36
    assert message.first(stun.USERNAME) == "evtj:h6vY"


@pytest.mark.parametrize(
    ("data", "host"), [(IPV4_RESPONSE, "192.0.2.1"), (IPV6_RESPONSE, "2001:db8:1234:5678:11:2233:4455:6677")]
)
def test_rfc5769_2_2_and_2_3_values(data: bytes, host: str) -> None:
    message = decode(data)
    assert message.message_class is Class.SUCCESS
    assert message.first(stun.SOFTWARE) == "test vector"
    assert message.first(stun.XOR_MAPPED_ADDRESS) == Address(host, 32853)


def test_rfc5769_2_4_values() -> None:
    message = decode(LONG_TERM_REQUEST)
    assert message.first(stun.USERNAME) == USERNAME
    assert message.first(stun.NONCE) == "f//499k954d6OL34oL9FSTvy64sA"
    assert message.first(stun.REALM) == REALM
    assert not message.has(stun.FINGERPRINT)


def test_rfc8489_b_1_values() -> None:
    message = decode(SHA256_REQUEST)
    assert message.first(stun.USERHASH) == userhash(USERNAME, REALM)
    assert message.first(stun.NONCE) == "obMatJos2AAACf//499k954d6OL34oL9FSTvy64sA"
    assert message.first(stun.REALM) == REALM


def test_rfc8489_b_1_as_printed_is_no_message() -> None:
    with pytest.raises(DecodeError) as caught:
        decode(SHA256_REQUEST_AS_PRINTED)
    assert caught.value.reason is Reason.MALFORMED


@each_vector
def test_every_single_bit_flip_is_refused(vector: Vector) -> None:
    """But for FINGERPRINT's own type field: it becomes another attribute, which behind the integrity is not seen."""
    fingerprints = [raw.offset for raw in decode(vector.data).visible if raw.type == stun.FINGERPRINT.type]
    exempt = {bit for offset in fingerprints for bit in range(offset * 8, offset * 8 + 16)}
    assert len(exempt) == (16 if vector.data[-8:-4] == bytes.fromhex("80280004") else 0)
    number = int.from_bytes(vector.data)
    bits = len(vector.data) * 8
    for bit in range(bits):
        flipped = (number ^ 1 << (bits - 1 - bit)).to_bytes(len(vector.data))
        assert is_accepted(flipped, vector) is (bit in exempt), f"bit {bit % 8} of byte {bit // 8}"


@each_vector
def test_every_cut_is_refused(vector: Vector) -> None:
    for length in range(len(vector.data)):
        assert not is_accepted(vector.data[:length], vector)


def rewrite(message: Message, vector: Vector) -> bytes:
    protection = {stun.MESSAGE_INTEGRITY.type, stun.MESSAGE_INTEGRITY_SHA256.type, stun.FINGERPRINT.type}
    values = [
        (attribute, attribute.decode(raw.value, message.mask))
        for raw in message.visible
        if raw.type not in protection and (attribute := stun.REGISTRY[raw.type])
    ]
    return encode(
        message.method,
        message.message_class,
        message.mask,
        values,
        Signature(vector.integrity, vector.key),
        message.has(stun.FINGERPRINT),
    )


@pytest.mark.parametrize("vector", VECTORS[3:], ids=[vector.name for vector in VECTORS[3:]])
def test_a_vector_padded_with_zeros_is_written_as_printed(vector: Vector) -> None:
    assert rewrite(decode(vector.data), vector) == vector.data


@pytest.mark.parametrize("vector", VECTORS[:3], ids=[vector.name for vector in VECTORS[:3]])
def test_a_vector_padded_with_spaces_is_written_with_zeros(vector: Vector) -> None:
    written = rewrite(decode(vector.data), vector)
    assert len(written) == len(vector.data)
    assert is_accepted(written, vector)
    differing = [at for at, (ours, theirs) in enumerate(zip(written, vector.data, strict=True)) if ours != theirs]
    protected = decode(vector.data).visible[-2].offset
    assert {written[at] for at in differing if at < protected} == {0}
    assert {vector.data[at] for at in differing if at < protected} == {0x20}
