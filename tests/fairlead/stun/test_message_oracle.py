"""Our codec and aioice's, each reading what the other wrote, in the attributes that both know and read alike."""

from typing import Any

import pytest
from aioice import stun as oracle
from hypothesis import given
from hypothesis import strategies as st

from fairlead.datagram import Address
from fairlead.stun import attributes as stun
from fairlead.stun.attributes import Attribute
from fairlead.stun.header import Class, Method
from fairlead.stun.integrity import SHA1
from fairlead.stun.message import Signature, decode, encode, new_mask
from tests.fairlead.stun.values import VALUES

KEY = b"key"
#: aioice reads REQUESTED-TRANSPORT as a number of four bytes and CHANGE-REQUEST as one without flags.
READ_OTHERWISE = {"REQUESTED-TRANSPORT", "CHANGE-REQUEST"}
PROTECTION = {"MESSAGE-INTEGRITY", "FINGERPRINT"}
KNOWN_TO_BOTH = [
    attribute
    for attribute in stun.REGISTRY.values()
    if attribute.name in oracle.ATTRIBUTES_BY_NAME.keys() - READ_OTHERWISE - PROTECTION
]

METHODS = {
    Method.BINDING: oracle.Method.BINDING,
    Method.ALLOCATE: oracle.Method.ALLOCATE,
    Method.REFRESH: oracle.Method.REFRESH,
    Method.SEND: oracle.Method.SEND,
    Method.DATA: oracle.Method.DATA,
    Method.CREATE_PERMISSION: oracle.Method.CREATE_PERMISSION,
    Method.CHANNEL_BIND: oracle.Method.CHANNEL_BIND,
}
CLASSES = {
    Class.REQUEST: oracle.Class.REQUEST,
    Class.INDICATION: oracle.Class.INDICATION,
    Class.SUCCESS: oracle.Class.RESPONSE,
    Class.ERROR: oracle.Class.ERROR,
}

transactions = st.binary(min_size=12, max_size=12)
some_attributes = st.lists(
    st.sampled_from(KNOWN_TO_BOTH).flatmap(lambda row: st.tuples(st.just(row), VALUES[row])),
    unique_by=lambda pair: pair[0].type,
    max_size=8,
)


def theirs(attribute: Attribute[Any], value: Any) -> Any:
    """Our value as aioice holds it."""
    if isinstance(value, Address):
        return (value.host, value.port)
    if attribute is stun.USE_CANDIDATE:
        return None
    if attribute is stun.NONCE:
        return value.encode()
    return tuple(value) if attribute is stun.ERROR_CODE else value


@given(st.sampled_from(list(METHODS)), st.sampled_from(Class), transactions, some_attributes)
def test_aioice_reads_what_we_write(
    method: Method, message_class: Class, transaction: bytes, attributes: list[tuple[Attribute[Any], Any]]
) -> None:
    data = encode(method, message_class, new_mask(transaction), attributes, Signature(SHA1, KEY), True)
    message = oracle.parse_message(data)
    assert message.check_message_integrity(KEY)
    assert message.message_method == METHODS[method]
    assert message.message_class == CLASSES[message_class]
    assert message.transaction_id == transaction
    values = {name: value for name, value in message.attributes.items() if name not in PROTECTION}
    assert values == {attribute.name: theirs(attribute, value) for attribute, value in attributes}


@given(st.sampled_from(list(METHODS)), st.sampled_from(Class), transactions, some_attributes)
def test_we_read_what_aioice_writes(
    method: Method, message_class: Class, transaction: bytes, attributes: list[tuple[Attribute[Any], Any]]
) -> None:
    named = {attribute.name: theirs(attribute, value) for attribute, value in attributes}
    message = oracle.Message(METHODS[method], CLASSES[message_class], transaction, named)
    message.add_message_integrity(KEY)
    read = decode(bytes(message))
    assert (read.method, read.message_class, read.transaction_id) == (method, message_class, transaction)
    assert read.is_intact(SHA1, KEY)
    assert read.has(stun.FINGERPRINT)
    assert [read.first(attribute) for attribute, _ in attributes] == [value for _, value in attributes]


@given(st.sampled_from(list(METHODS)), st.sampled_from(Class), transactions, some_attributes)
def test_both_write_the_same_bytes(
    method: Method, message_class: Class, transaction: bytes, attributes: list[tuple[Attribute[Any], Any]]
) -> None:
    named = {attribute.name: theirs(attribute, value) for attribute, value in attributes}
    message = oracle.Message(METHODS[method], CLASSES[message_class], transaction, named)
    message.add_message_integrity(KEY)
    assert bytes(message) == encode(
        method, message_class, new_mask(transaction), attributes, Signature(SHA1, KEY), with_fingerprint=True
    )


def test_the_oracle_knows_most_of_a_relays_vocabulary() -> None:
    names = {attribute.name for attribute in KNOWN_TO_BOTH}
    assert names >= {"XOR-PEER-ADDRESS", "XOR-RELAYED-ADDRESS", "DATA", "LIFETIME", "CHANNEL-NUMBER", "ERROR-CODE"}


@pytest.mark.parametrize("name", sorted(READ_OTHERWISE))
def test_what_is_left_out_is_there_to_be_left_out(name: str) -> None:
    assert name in oracle.ATTRIBUTES_BY_NAME
