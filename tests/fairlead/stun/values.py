"""A strategy for the values of each attribute, for tests that take all of them."""

from typing import Any

from hypothesis import strategies as st

from fairlead.datagram import Address, unpack_host
from fairlead.stun import attributes as stun

masks = st.binary(min_size=12, max_size=12).map(lambda transaction: bytes.fromhex("2112a442") + transaction)
hosts = (st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)).map(unpack_host)
addresses = st.builds(Address, hosts, st.integers(0, 0xFFFF))

_bytes = st.binary(max_size=70)
_texts = st.text(max_size=60)
_u8 = st.integers(0, 0xFF)
_u16 = st.integers(0, 0xFFFF)
_u32 = st.integers(0, 0xFFFFFFFF)
_u64 = st.integers(0, 0xFFFFFFFFFFFFFFFF)
_algorithms = st.builds(stun.PasswordAlgorithmValue, _u16, st.binary(max_size=9))


def _exactly(length: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=length, max_size=length)


VALUES: dict[stun.Attribute[Any], st.SearchStrategy[Any]] = {
    stun.MAPPED_ADDRESS: addresses,
    stun.USERNAME: _texts,
    stun.MESSAGE_INTEGRITY: _exactly(20),
    stun.ERROR_CODE: st.builds(stun.ErrorCode, st.integers(300, 699), _texts),
    stun.UNKNOWN_ATTRIBUTES: st.lists(_u16, max_size=9).map(tuple),
    stun.REALM: _texts,
    stun.NONCE: _texts,
    stun.MESSAGE_INTEGRITY_SHA256: _bytes,
    stun.PASSWORD_ALGORITHM: _algorithms,
    stun.USERHASH: _exactly(32),
    stun.XOR_MAPPED_ADDRESS: addresses,
    stun.PASSWORD_ALGORITHMS: st.lists(_algorithms, max_size=4).map(tuple),
    stun.ALTERNATE_DOMAIN: _texts,
    stun.SOFTWARE: _texts,
    stun.ALTERNATE_SERVER: addresses,
    stun.FINGERPRINT: _u32,
    stun.CHANNEL_NUMBER: _u16,
    stun.LIFETIME: _u32,
    stun.XOR_PEER_ADDRESS: addresses,
    stun.DATA: _bytes,
    stun.XOR_RELAYED_ADDRESS: addresses,
    stun.REQUESTED_ADDRESS_FAMILY: _u8,
    stun.EVEN_PORT: st.booleans(),
    stun.REQUESTED_TRANSPORT: _u8,
    stun.DONT_FRAGMENT: st.just(True),
    stun.RESERVATION_TOKEN: _exactly(8),
    stun.ADDITIONAL_ADDRESS_FAMILY: _u8,
    stun.ADDRESS_ERROR_CODE: st.builds(stun.AddressErrorCode, _u8, st.integers(300, 699), _texts),
    stun.ICMP: st.builds(stun.Icmp, _u8, _u8, _exactly(4)),
    stun.CONNECTION_ID: _u32,
    stun.MOBILITY_TICKET: _bytes,
    stun.ACCESS_TOKEN: _bytes,
    stun.THIRD_PARTY_AUTHORIZATION: _texts,
    stun.CHANGE_REQUEST: st.builds(stun.ChangeRequest, st.booleans(), st.booleans()),
    stun.PADDING: _bytes,
    stun.RESPONSE_PORT: _u16,
    stun.RESPONSE_ORIGIN: addresses,
    stun.OTHER_ADDRESS: addresses,
    stun.PRIORITY: _u32,
    stun.USE_CANDIDATE: st.just(True),
    stun.ICE_CONTROLLED: _u64,
    stun.ICE_CONTROLLING: _u64,
}

#: An attribute and a value for it; those that protect a message are written by the encoder itself.
pairs = st.sampled_from(
    [
        attribute
        for attribute in VALUES
        if attribute not in (stun.MESSAGE_INTEGRITY, stun.MESSAGE_INTEGRITY_SHA256, stun.FINGERPRINT)
    ]
).flatmap(lambda attribute: st.tuples(st.just(attribute), VALUES[attribute]))
