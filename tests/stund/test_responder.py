import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.datagram import Address
from fairlead.reasons import Reason
from fairlead.stun import attributes as a
from fairlead.stun.binding import LARGEST_REPLY, BindingSettings, Reply
from fairlead.stun.header import Class, Method
from fairlead.stun.message import decode, encode, new_mask
from stund.responder import ResponderSettings, respond

DEFAULTS = ResponderSettings()
GENEROUS = ResponderSettings(BindingSettings("Fairlead", mapped_address=True), classic=True)
SOURCE = Address("192.0.2.1", 32853)
REQUEST = encode(Method.BINDING, Class.REQUEST, new_mask(bytes(range(12))))
CLASSIC = REQUEST[:4] + bytes(16)


def test_twenty_bytes_are_answered_by_thirty_two() -> None:
    assert len(REQUEST) == 20
    reply = respond(REQUEST, SOURCE, DEFAULTS)
    assert isinstance(reply, Reply)
    # Success, 12 bytes of attributes; cookie and transaction id as in the request; XOR-MAPPED-ADDRESS and nothing else.
    assert reply.data.hex() == "0101000c" + "2112a442000102030405060708090a0b" + "0020" + "0008" + "0001a147e112a643"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"x", Reason.NOT_STUN),
        (b"\x40\x00\x00\x10" + bytes(16), Reason.NOT_STUN),
        (b"\x16\xfe\xff" + bytes(60), Reason.MALFORMED),
        (REQUEST + b"x", Reason.MALFORMED),
        (REQUEST[:-1], Reason.NOT_STUN),
        (CLASSIC, Reason.BAD_COOKIE),
        (encode(Method.BINDING, Class.INDICATION, new_mask(bytes(12))), Reason.NOT_A_REQUEST),
        (encode(Method.BINDING, Class.SUCCESS, new_mask(bytes(12))), Reason.NOT_A_REQUEST),
        (encode(Method.ALLOCATE, Class.REQUEST, new_mask(bytes(12))), Reason.UNKNOWN_METHOD),
    ],
)
def test_what_is_not_answered_has_a_reason(data: bytes, reason: Reason) -> None:
    assert respond(data, SOURCE, DEFAULTS) is reason


def test_a_damaged_fingerprint_is_not_answered() -> None:
    data = bytearray(encode(Method.BINDING, Class.REQUEST, new_mask(bytes(12)), with_fingerprint=True))
    data[-1] ^= 1
    assert respond(bytes(data), SOURCE, DEFAULTS) is Reason.BAD_FINGERPRINT


def test_a_client_without_cookie_is_answered_only_when_it_is_wanted() -> None:
    reply = respond(CLASSIC, SOURCE, GENEROUS)
    assert isinstance(reply, Reply)
    assert decode(reply.data, classic=True).first(a.MAPPED_ADDRESS) == SOURCE


@given(
    st.binary(max_size=200) | st.binary(max_size=180).map(lambda rest: REQUEST + rest),
    st.sampled_from([DEFAULTS, GENEROUS]),
)
def test_any_bytes_are_answered_within_bounds_or_not_at_all(data: bytes, settings: ResponderSettings) -> None:
    reply = respond(data, SOURCE, settings)
    if isinstance(reply, Reply):
        assert len(reply.data) <= LARGEST_REPLY
        assert decode(reply.data, classic=True).mask == data[4:20]
    else:
        assert reply in Reason
