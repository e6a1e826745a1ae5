from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.datagram import Address
from fairlead.reasons import Reason
from fairlead.stun import attributes as a
from fairlead.stun.binding import (
    LARGEST_REPLY,
    LEAST,
    LONGEST_SOFTWARE,
    BindingSettings,
    Reply,
    answer_binding,
    answer_plain_request,
    is_binding_request,
)
from fairlead.stun.header import Class, Method
from fairlead.stun.integrity import SHA1, SHA256
from fairlead.stun.message import Message, Signature, decode, encode, new_mask
from tests.fairlead.stun import values

MASK = new_mask(bytes(range(12)))
IPV4, IPV6 = Address("192.0.2.1", 32853), Address("2001:db8::1", 32853)


def request(*attributes: tuple[a.Attribute[Any], Any], **options: Any) -> Message:
    return decode(encode(Method.BINDING, Class.REQUEST, MASK, attributes, **options))


def answer(message: Message, source: Address = IPV4, settings: BindingSettings = LEAST) -> Reply:
    reply = answer_binding(message, source, settings)
    assert isinstance(reply, Reply)
    assert decode(reply.data).mask == message.mask
    return reply


@pytest.mark.parametrize(("source", "size"), [(IPV4, 32), (IPV6, 44)])
def test_the_least_request_gets_the_least_reply(source: Address, size: int) -> None:
    reply = answer(request(), source)
    message = decode(reply.data)
    assert (len(reply.data), reply.code) == (size, 0)
    assert (message.method, message.message_class) == (Method.BINDING, Class.SUCCESS)
    assert [raw.type for raw in message.visible] == [a.XOR_MAPPED_ADDRESS.type]
    assert message.first(a.XOR_MAPPED_ADDRESS) == source


def test_more_only_when_configured() -> None:
    message = decode(answer(request(), settings=BindingSettings("Fairlead", mapped_address=True)).data)
    assert message.first(a.SOFTWARE) == "Fairlead"
    assert message.first(a.MAPPED_ADDRESS) == IPV4


def test_a_fingerprint_is_answered_by_one() -> None:
    assert decode(answer(request(with_fingerprint=True)).data).has(a.FINGERPRINT)
    assert not decode(answer(request()).data).has(a.FINGERPRINT)
    refused = answer(request((a.LIFETIME, 1), with_fingerprint=True))
    assert decode(refused.data).has(a.FINGERPRINT)


def test_what_ice_agents_and_turn_clients_attach_is_ignored() -> None:
    attached: list[tuple[a.Attribute[Any], Any]] = [
        (a.USERNAME, "u:v"),
        (a.REALM, "r"),
        (a.NONCE, "n"),
        (a.PRIORITY, 1),
        (a.USE_CANDIDATE, True),
        (a.ICE_CONTROLLING, 1),
        (a.USERHASH, bytes(32)),
        (a.PASSWORD_ALGORITHM, a.PasswordAlgorithmValue(1)),
        (a.SOFTWARE, "client"),
    ]
    for integrity in (SHA1, SHA256):
        message = request(*attached, signature=Signature(integrity, b"key"), with_fingerprint=True)
        assert answer(message).code == 0


def test_an_unknown_attribute_that_must_be_understood_is_named() -> None:
    reply = answer(request((a.LIFETIME, 1), (a.CHANGE_REQUEST, a.ChangeRequest(True, False)), (a.LIFETIME, 2)))
    message = decode(reply.data)
    assert reply.code == 420
    assert message.message_class is Class.ERROR
    assert message.first(a.ERROR_CODE) == a.ErrorCode(420, "Unknown Attribute")
    assert message.first(a.UNKNOWN_ATTRIBUTES) == (a.LIFETIME.type, a.CHANGE_REQUEST.type)
    assert not message.has(a.XOR_MAPPED_ADDRESS)


def test_an_unknown_attribute_behind_the_integrity_is_not_seen() -> None:
    signed = encode(Method.BINDING, Class.REQUEST, MASK, signature=Signature(SHA1, b"key"))
    lifetime = a.LIFETIME.type.to_bytes(2) + b"\x00\x04" + bytes(4)
    grown = signed[:2] + (len(signed) - 20 + len(lifetime)).to_bytes(2) + signed[4:] + lifetime
    assert answer(decode(grown)).code == 0


def test_no_reply_is_longer_than_a_packet_may_be() -> None:
    unknown = [(a.Attribute(kind, "X", a.DONT_FRAGMENT.kind), True) for kind in range(0x1000, 0x1000 + 300)]
    settings = BindingSettings("s" * LONGEST_SOFTWARE, mapped_address=True)
    reply = answer(request(*unknown, with_fingerprint=True), IPV6, settings)
    assert len(reply.data) <= LARGEST_REPLY
    assert len(reply.data) < 20 + 4 * 300, "no amplification"
    assert len(answer(request(with_fingerprint=True), IPV6, settings).data) <= LARGEST_REPLY


@pytest.mark.parametrize("message_class", [Class.INDICATION, Class.SUCCESS, Class.ERROR])
def test_only_requests_are_answered(message_class: Class) -> None:
    message = decode(encode(Method.BINDING, message_class, MASK))
    assert answer_binding(message, IPV4, LEAST) is Reason.NOT_A_REQUEST


@pytest.mark.parametrize("method", [Method.ALLOCATE, 0x002, 0xFFF])
def test_other_methods_are_not_answered(method: int) -> None:
    message = decode(encode(method, Class.REQUEST, MASK))
    assert answer_binding(message, IPV4, LEAST) is Reason.UNKNOWN_METHOD


def test_a_client_without_cookie_is_told_in_the_clear() -> None:
    classic = decode(encode(Method.BINDING, Class.REQUEST, bytes(range(16))), classic=True)
    reply = answer_binding(classic, IPV4, BindingSettings(mapped_address=True))
    assert isinstance(reply, Reply)
    message = decode(reply.data, classic=True)
    assert message.mask == bytes(range(16))
    assert [raw.type for raw in message.visible] == [a.MAPPED_ADDRESS.type]
    assert message.first(a.MAPPED_ADDRESS) == IPV4


@given(values.masks, values.addresses, st.booleans())
def test_the_short_way_says_what_the_long_way_says(mask: bytes, source: Address, stamped: bool) -> None:
    data = encode(Method.BINDING, Class.REQUEST, mask, with_fingerprint=stamped)
    assert is_binding_request(data)
    assert answer_plain_request(data, source) == answer_binding(decode(data), source, LEAST)


@given(st.binary(max_size=40) | values.masks.map(lambda mask: b"\x00\x01\x00\x00" + mask + b"\x00"))
def test_the_short_way_is_for_requests_without_attributes_alone(data: bytes) -> None:
    assert answer_plain_request(data, IPV4) is None


@pytest.mark.parametrize(
    ("stamped", "place"), [(False, place) for place in range(8)] + [(True, place) for place in range(28)]
)
def test_what_differs_anywhere_is_left_to_the_long_way(stamped: bool, place: int) -> None:
    data = bytearray(request(with_fingerprint=stamped).data)
    data[place] ^= 1
    assert answer_plain_request(bytes(data), IPV4) is None
