"""Against the codec, which is the oracle for both directions."""

from typing import Any, TypeAlias

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fairlead.datagram import Address, Family, pack_host
from fairlead.stun.attributes import DATA, FINGERPRINT, SOFTWARE, XOR_PEER_ADDRESS, Attribute
from fairlead.stun.header import Class, DecodeError, Method
from fairlead.stun.message import Message, decode, encode, new_mask
from tests.turnd.kit import raw
from turnd.dataplane.python.indications import read_send, write_data

hosts = st.ip_addresses().map(str)
ports = st.integers(0, 65535)
masks = st.binary(min_size=12, max_size=12).map(new_mask)
payloads = st.binary(max_size=40)
Row: TypeAlias = tuple[Attribute[Any], Any]

PEER = Address("192.0.2.7", 4242)
#: No address is so short.
SHORT = [raw(XOR_PEER_ADDRESS, bytes(length)) for length in (0, 4, 7)]


def write_send(mask: bytes, peer: Address, data: bytes, peer_first: bool, fingerprint: bool) -> bytes:
    rows: list[Row] = [(XOR_PEER_ADDRESS, peer), (DATA, data)]
    rows = rows if peer_first else rows[::-1]
    return encode(Method.SEND, Class.INDICATION, mask, rows, with_fingerprint=fingerprint)


@given(mask=masks, host=hosts, port=ports, data=payloads, peer_first=st.booleans(), fingerprint=st.booleans())
def test_what_is_written_is_read(
    mask: bytes, host: str, port: int, data: bytes, peer_first: bool, fingerprint: bool
) -> None:
    peer = Address(host, port)
    message = write_send(mask, peer, data, peer_first, fingerprint)
    behind = b"\xa5" * 50
    read = read_send(bytearray(message + behind), len(message))
    assert read is not None
    assert read[:3] == (peer.family, int.from_bytes(peer.packed_host), port)
    assert message[slice(*read[3:])] == data


def is_plain(message: Message) -> bool:
    kinds = [raw.type for raw in message.visible]
    if kinds[-1:] == [FINGERPRINT.type]:
        kinds.pop()
    return sorted(kinds) == [XOR_PEER_ADDRESS.type, DATA.type]


@given(
    mask=masks,
    rows=st.lists(st.sampled_from([(XOR_PEER_ADDRESS, PEER), (DATA, b"data"), (SOFTWARE, "x"), *SHORT]), max_size=4),
    fingerprint=st.booleans(),
    flipped=st.integers(0, 8 * 60),
    exact=st.booleans(),
)
@example(mask=new_mask(bytes(12)), rows=[(DATA, b"data"), SHORT[1]], fingerprint=False, flipped=480, exact=True)
def test_it_takes_what_the_codec_finds_plain_and_nothing_else(
    mask: bytes, rows: list[Row], fingerprint: bool, flipped: int, exact: bool
) -> None:
    """Messages of all shapes, whole and with one bit turned; in a buffer, as of datagrams, and alone, as of streams."""
    message = bytearray(encode(Method.SEND, Class.INDICATION, mask, rows, with_fingerprint=fingerprint))
    if flipped // 8 < len(message):
        message[flipped // 8] ^= 1 << flipped % 8
    read = read_send(bytes(message) if exact else message + bytes(50), len(message))
    try:
        decoded = decode(bytes(message))
        assert (decoded.method, decoded.message_class) == (Method.SEND, Class.INDICATION)
        assert is_plain(decoded)
        peer, data = decoded.first(XOR_PEER_ADDRESS), decoded.first(DATA)
    except (DecodeError, AssertionError, ValueError):
        assert read is None
    else:
        assert peer is not None
        assert read is not None
        assert read[:3] == (peer.family, int.from_bytes(peer.packed_host), peer.port)
        assert bytes(message[slice(*read[3:])]) == data


@given(noise=st.binary(max_size=80))
def test_noise_is_no_indication(noise: bytes) -> None:
    assert read_send(noise, len(noise)) is None


@given(host=hosts, port=ports, data=payloads, transaction=st.integers(0, (1 << 96) - 1))
def test_data_indications_read_as_they_were_meant(host: str, port: int, data: bytes, transaction: int) -> None:
    room = 48
    buffer = bytearray(b"\xa5" * (room + len(data) + 60))
    buffer[room : room + len(data)] = data
    family = Family.IPV6 if ":" in host else Family.IPV4
    ends = write_data(buffer, room, len(data), family, int.from_bytes(pack_host(host)), port, transaction)
    written = bytes(buffer[slice(*ends)])
    rows: list[Row] = [(XOR_PEER_ADDRESS, Address(host, port)), (DATA, data)]
    assert written == encode(Method.DATA, Class.INDICATION, new_mask(transaction.to_bytes(12)), rows)
    assert set(buffer[: ends[0]]) | set(buffer[ends[1] :]) == {0xA5}, "no byte outside is touched"


@pytest.mark.parametrize("size", range(20))
def test_less_than_a_header_is_nothing(size: int) -> None:
    whole = write_send(new_mask(bytes(12)), PEER, b"data", True, False)
    assert read_send(whole, size) is None
