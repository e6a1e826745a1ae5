"""Whole messages: what may be seen of them, what is dropped, and that no bytes whatever do anything else."""

import contextlib
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fairlead.datagram import Address
from fairlead.reasons import Reason
from fairlead.stun import attributes as stun
from fairlead.stun.attributes import Attribute, AttributeValueError
from fairlead.stun.header import Class, DecodeError, Method, message_type
from fairlead.stun.integrity import SHA1, SHA256
from fairlead.stun.message import MOST_ATTRIBUTES, MOST_UNKNOWN, Message, Signature, decode, encode, new_mask
from tests.fairlead.stun.values import masks, pairs
from tests.fairlead.stun.vectors import VECTORS

MASK = new_mask(bytes(range(12)))
KEY = b"key"

MI, SHA, FP = stun.MESSAGE_INTEGRITY.type, stun.MESSAGE_INTEGRITY_SHA256.type, stun.FINGERPRINT.type

raw_attributes = st.tuples(
    st.sampled_from([MI, SHA, stun.USERNAME.type, stun.LIFETIME.type, 0x7F00, 0xFF00]) | st.integers(0, 0xFFFF),
    st.binary(max_size=24),
).filter(lambda row: row[0] != FP)


def written(*rows: tuple[int, bytes], padding: bytes = b"\0") -> bytes:
    body = b"".join(
        kind.to_bytes(2) + len(value).to_bytes(2) + value + padding * (-len(value) % 4) for kind, value in rows
    )
    return message_type(Method.ALLOCATE, Class.REQUEST).to_bytes(2) + len(body).to_bytes(2) + MASK + body


def with_appended(data: bytes, tail: bytes) -> bytes:
    return data[:2] + (len(data) - 20 + len(tail)).to_bytes(2) + data[4:] + tail


def seen(message: Message) -> list[tuple[int, bytes]]:
    return [(raw.type, raw.value) for raw in message.visible]


@given(
    st.integers(0, 0xFFF),
    st.sampled_from(Class),
    masks,
    st.lists(pairs, max_size=8),
    st.sampled_from([None, Signature(SHA1, KEY), Signature(SHA256, KEY)]),
    st.booleans(),
)
def test_a_message_comes_back(
    method: int,
    message_class: Class,
    mask: bytes,
    attributes: list[tuple[Attribute[Any], Any]],
    signature: Signature | None,
    with_fingerprint: bool,
) -> None:
    data = encode(method, message_class, mask, attributes, signature, with_fingerprint)
    message = decode(data)
    assert (message.method, message.message_class, message.mask) == (method, message_class, mask)
    assert message.transaction_id == mask[4:]
    assert not message.is_classic
    unprotected = [raw for raw in message.visible if raw.type not in (MI, SHA, FP)]
    assert [(raw.type, stun.REGISTRY[raw.type].decode(raw.value, mask)) for raw in unprotected] == [
        (attribute.type, value) for attribute, value in attributes
    ]
    assert message.has(stun.FINGERPRINT) is with_fingerprint
    for integrity in (SHA1, SHA256):
        signed = signature is not None and signature.integrity is integrity
        assert message.is_intact(integrity, KEY) is signed
        assert not message.is_intact(integrity, b"another key")


@given(masks, st.lists(pairs, max_size=8))
def test_padding_is_written_as_zero(mask: bytes, attributes: list[tuple[Attribute[Any], Any]]) -> None:
    data = encode(Method.DATA, Class.INDICATION, mask, attributes)
    for raw in decode(data).visible:
        end = raw.offset + 4 + len(raw.value)
        assert data[end : end + -end % 4] == bytes(-end % 4)


@given(st.lists(raw_attributes, max_size=6), st.binary(min_size=1, max_size=1))
def test_padding_is_not_read(rows: list[tuple[int, bytes]], padding: bytes) -> None:
    assert seen(decode(written(*rows, padding=padding))) == seen(decode(written(*rows)))


@given(st.lists(raw_attributes, max_size=10))
@example([(MI, bytes(20)), (SHA, b""), (MI, b""), (stun.LIFETIME.type, b"")])
def test_order_and_duplicates_are_kept_up_to_the_integrity(rows: list[tuple[int, bytes]]) -> None:
    """Behind MESSAGE-INTEGRITY only the stronger one is seen, behind that one nothing (RFC 8489 14.5, 14.6)."""
    expected: list[tuple[int, bytes]] = []
    open_to = None
    for row in rows:
        if open_to is None or row[0] in open_to:
            expected.append(row)
            open_to = {MI: {SHA}, SHA: set()}.get(row[0], open_to)
    assert seen(decode(written(*rows))) == expected


@given(st.lists(pairs, max_size=4), st.lists(raw_attributes, max_size=6), st.booleans())
def test_appending_behind_the_integrity_changes_nothing(
    attributes: list[tuple[Attribute[Any], Any]], rows: list[tuple[int, bytes]], with_fingerprint: bool
) -> None:
    signed = encode(
        Method.REFRESH, Class.REQUEST, MASK, attributes, Signature(SHA256, KEY), with_fingerprint=with_fingerprint
    )
    tail = written(*rows)[20:]
    longer = decode(with_appended(signed, tail))
    assert longer.visible == decode(signed).visible
    assert longer.is_intact(SHA256, KEY)


@pytest.mark.parametrize("protected", [(), ((MI, bytes(20)),)])
def test_a_message_has_so_many_attributes_and_no_more(protected: tuple[tuple[int, bytes], ...]) -> None:
    """Those that nobody will see, behind the integrity, cost as much to pass over."""
    rest = MOST_ATTRIBUTES - len(protected)
    assert len(decode(written(*protected, *[(0xFF00, b"")] * rest)).visible) == (len(protected) or rest)
    with pytest.raises(DecodeError) as caught:
        decode(written(*protected, *[(0xFF00, b"")] * (rest + 1)))
    assert caught.value.reason is Reason.TOO_LARGE


def test_permissions_for_as_many_peers_as_there_may_be_fit() -> None:
    peers = [(stun.XOR_PEER_ADDRESS, Address("2600::1", port)) for port in range(256)]
    named = [(stun.USERNAME, "alice"), (stun.REALM, "here"), (stun.NONCE, "nonce")]
    data = encode(Method.CREATE_PERMISSION, Class.REQUEST, MASK, [*peers, *named], Signature(SHA1, KEY), True)
    assert len(decode(data).all(stun.XOR_PEER_ADDRESS)) == 256


def test_a_lifetime_behind_the_integrity_is_not_obeyed() -> None:
    signed = encode(Method.REFRESH, Class.REQUEST, MASK, [], Signature(SHA1, KEY))
    message = decode(with_appended(signed, bytes.fromhex("000d000400000000")))
    assert message.first(stun.LIFETIME) is None
    assert message.is_intact(SHA1, KEY)


def test_the_stronger_integrity_is_seen_behind_the_weaker_one() -> None:
    both = encode(Method.REFRESH, Class.REQUEST, MASK, [], Signature(SHA1, KEY))
    body = with_appended(both, bytes(36))
    mac = encode(
        Method.REFRESH,
        Class.REQUEST,
        MASK,
        [(stun.MESSAGE_INTEGRITY, decode(both).visible[0].value)],
        Signature(SHA256, KEY),
    )
    message = decode(body[:-36] + mac[-36:])
    assert message.is_intact(SHA1, KEY)
    assert message.is_intact(SHA256, KEY)


@pytest.mark.parametrize("behind", ["000d000400000000", "00080014" + "00" * 20, "001c0020" + "00" * 32])
def test_nothing_is_seen_behind_the_fingerprint(behind: str) -> None:
    data = encode(Method.BINDING, Class.REQUEST, MASK, [], with_fingerprint=True)
    assert decode(with_appended(data, bytes.fromhex(behind))).visible == decode(data).visible


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"\0", Reason.NOT_STUN),
        (written()[:19], Reason.NOT_STUN),
        (b"\x40\x00" + written()[2:], Reason.NOT_STUN),
        (b"\xff\xff" + written()[2:], Reason.NOT_STUN),
        (written() + bytes(4), Reason.MALFORMED),
        (with_appended(written(), bytes(4))[:-4], Reason.MALFORMED),
        (with_appended(written(), bytes(3)), Reason.MALFORMED),
        (with_appended(written(), bytes.fromhex("000d000500000000")), Reason.MALFORMED),
        (with_appended(written(), bytes.fromhex("000dffff00000000")), Reason.MALFORMED),
        (written((MI, bytes(20)), (0x7F00, b"abcd"))[:-8] + bytes.fromhex("7f00000500000000"), Reason.MALFORMED),
        (b"\x00\x03\x00\x00" + bytes(16), Reason.BAD_COOKIE),
        (written((FP, bytes(4))), Reason.BAD_FINGERPRINT),
        (written((FP, bytes(3))), Reason.MALFORMED),
        (written((FP, bytes(8))), Reason.MALFORMED),
        (written((MI, bytes(20)), (FP, bytes(4))), Reason.BAD_FINGERPRINT),
    ],
)
def test_what_is_no_message_is_dropped_under_its_reason(data: bytes, reason: Reason) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(data)
    assert caught.value.reason is reason
    assert str(caught.value) == reason.value


def test_a_classic_client_is_heard_only_where_it_may_be() -> None:
    data = b"\x00\x01\x00\x00" + bytes(range(16))
    message = decode(data, classic=True)
    assert message.is_classic
    assert message.mask == bytes(range(16))
    with pytest.raises(DecodeError):
        decode(data)


def read_all(message: Message) -> None:
    for attribute in stun.REGISTRY.values():
        with contextlib.suppress(AttributeValueError):
            message.all(attribute)
            message.first(attribute)
    message.unknown(frozenset())
    message.is_intact(SHA1, KEY)
    message.is_intact(SHA256, KEY)


@given(st.binary(max_size=120), st.booleans())
def test_random_bytes_are_a_message_or_a_decode_error(data: bytes, classic: bool) -> None:
    with contextlib.suppress(DecodeError):
        read_all(decode(data, classic))


@given(st.integers(0, 0x3FFF), st.binary(max_size=120))
def test_random_bytes_behind_a_right_header_are_a_message_or_a_decode_error(kind: int, body: bytes) -> None:
    body += bytes(-len(body) % 4)
    with contextlib.suppress(DecodeError):
        read_all(decode(kind.to_bytes(2) + len(body).to_bytes(2) + MASK + body))


@given(st.sampled_from(VECTORS), st.data())
def test_a_mangled_vector_is_a_message_or_a_decode_error(vector: Any, data: st.DataObject) -> None:
    mangled = bytearray(vector.data)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(20, len(mangled) - 1))
        mangled[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DecodeError):
        read_all(decode(bytes(mangled)))


@pytest.mark.parametrize("size", [255, 256, 257, 1200, 32767, 65511])
def test_data_of_any_size_comes_back(size: int) -> None:
    data = bytes(at & 0xFF for at in range(size))
    written = encode(Method.SEND, Class.INDICATION, MASK, [(stun.DATA, data), (stun.DONT_FRAGMENT, True)])
    message = decode(written)
    assert message.first(stun.DATA) == data
    assert message.first(stun.DONT_FRAGMENT)
    with pytest.raises(DecodeError):
        decode(written[:-4])


def test_the_first_duplicate_counts() -> None:
    peers = [Address("192.0.2.1", 1), Address("192.0.2.2", 2)]
    message = decode(
        encode(Method.CREATE_PERMISSION, Class.REQUEST, MASK, [(stun.XOR_PEER_ADDRESS, peer) for peer in peers])
    )
    assert message.first(stun.XOR_PEER_ADDRESS) == peers[0]
    assert message.all(stun.XOR_PEER_ADDRESS) == peers
    assert message.first(stun.LIFETIME) is None
    assert message.all(stun.LIFETIME) == []


def test_the_first_integrity_counts() -> None:
    right = decode(encode(Method.REFRESH, Class.REQUEST, MASK, [], Signature(SHA1, KEY))).visible[0].value
    wrong_first = decode(written((MI, bytes(20)), (MI, right)))
    assert not wrong_first.is_intact(SHA1, KEY)


def test_unknown_attributes_are_each_named_once_in_their_order() -> None:
    message = decode(
        written((0x7F01, b""), (0xFF01, b""), (0x7F00, b""), (stun.LIFETIME.type, bytes(4)), (0x7F01, b""))
    )
    assert message.unknown({stun.LIFETIME.type}) == (0x7F01, 0x7F00)


def test_comprehension_is_required_up_to_0x7fff() -> None:
    assert decode(written((0x8000, b""), (0x7FFF, b""))).unknown(frozenset()) == (0x7FFF,)


def test_a_reply_that_names_unknown_attributes_stays_small() -> None:
    message = decode(written(*((kind, b"") for kind in range(0x7000, 0x7000 + 4 * MOST_UNKNOWN))))
    unknown = message.unknown(frozenset())
    assert unknown == tuple(range(0x7000, 0x7000 + MOST_UNKNOWN))
    values: list[tuple[Attribute[Any], Any]] = [
        (stun.ERROR_CODE, stun.ErrorCode(420, "Unknown Attribute")),
        (stun.UNKNOWN_ATTRIBUTES, unknown),
    ]
    assert len(encode(Method.BINDING, Class.ERROR, MASK, values, Signature(SHA256, KEY), True)) <= 548


def test_a_bare_binding_success_is_32_bytes() -> None:
    values = [(stun.XOR_MAPPED_ADDRESS, Address("192.0.2.1", 40000))]
    assert len(encode(Method.BINDING, Class.SUCCESS, MASK, values)) == 32
