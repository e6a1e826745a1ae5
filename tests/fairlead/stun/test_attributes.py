"""Each attribute's value: what is written is read again, what is malformed is refused, and nothing else happens."""

import contextlib
import ipaddress
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.datagram import Address
from fairlead.stun import attributes as stun
from fairlead.stun.attributes import Attribute, AttributeValueError
from tests.fairlead.stun.values import VALUES, addresses, masks

MASK = bytes.fromhex("2112a442b7e7a701bc34d686fa87dfae")

IANA = """
    0001 MAPPED-ADDRESS 0003 CHANGE-REQUEST 0006 USERNAME 0008 MESSAGE-INTEGRITY 0009 ERROR-CODE
    000a UNKNOWN-ATTRIBUTES 000c CHANNEL-NUMBER 000d LIFETIME 0012 XOR-PEER-ADDRESS 0013 DATA 0014 REALM 0015 NONCE
    0016 XOR-RELAYED-ADDRESS 0017 REQUESTED-ADDRESS-FAMILY 0018 EVEN-PORT 0019 REQUESTED-TRANSPORT
    001a DONT-FRAGMENT 001b ACCESS-TOKEN 001c MESSAGE-INTEGRITY-SHA256 001d PASSWORD-ALGORITHM 001e USERHASH
    0020 XOR-MAPPED-ADDRESS 0022 RESERVATION-TOKEN 0024 PRIORITY 0025 USE-CANDIDATE 0026 PADDING 0027 RESPONSE-PORT
    002a CONNECTION-ID 8000 ADDITIONAL-ADDRESS-FAMILY 8001 ADDRESS-ERROR-CODE 8002 PASSWORD-ALGORITHMS
    8003 ALTERNATE-DOMAIN 8004 ICMP 8022 SOFTWARE 8023 ALTERNATE-SERVER 8028 FINGERPRINT 8029 ICE-CONTROLLED
    802a ICE-CONTROLLING 802b RESPONSE-ORIGIN 802c OTHER-ADDRESS 802e THIRD-PARTY-AUTHORIZATION
    8030 MOBILITY-TICKET
"""

each_attribute = pytest.mark.parametrize("attribute", stun.REGISTRY.values(), ids=lambda row: row.name)


def test_the_registry_has_every_attribute_once() -> None:
    assert set(VALUES) == set(stun.REGISTRY.values())
    assert all(kind == row.type for kind, row in stun.REGISTRY.items())
    assert len({row.name for row in stun.REGISTRY.values()}) == len(stun.REGISTRY)


def test_the_numbers_are_those_of_the_iana_registry() -> None:
    registered = {name: number for number, name in re.findall(r"([0-9a-f]{4}) (\S+)", IANA)}
    assert {row.name: f"{row.type:04x}" for row in stun.REGISTRY.values()} == registered


@each_attribute
@settings(max_examples=40)
@given(data=st.data())
def test_a_value_comes_back(attribute: Attribute[Any], data: st.DataObject) -> None:
    value, mask = data.draw(VALUES[attribute]), data.draw(masks)
    assert attribute.decode(attribute.encode(value, mask), mask) == value


@each_attribute
@settings(max_examples=40)
@given(value=st.binary(max_size=80), mask=masks)
def test_any_bytes_are_a_value_or_a_value_error(attribute: Attribute[Any], value: bytes, mask: bytes) -> None:
    with contextlib.suppress(AttributeValueError):
        attribute.decode(value, mask)


@pytest.mark.parametrize(
    ("attribute", "value", "wire"),
    [
        (stun.MAPPED_ADDRESS, Address("192.0.2.1", 32853), "0001 8055 c0000201"),
        (stun.XOR_PEER_ADDRESS, Address("192.0.2.1", 32853), "0001 a147 e112a643"),
        (stun.ERROR_CODE, stun.ErrorCode(438, "Stale Nonce"), "0000 0426" + b"Stale Nonce".hex()),
        (stun.ADDRESS_ERROR_CODE, stun.AddressErrorCode(2, 440, "No"), "0200 0428 4e6f"),
        (stun.UNKNOWN_ATTRIBUTES, (0x001A, 0x7FFF), "001a 7fff"),
        (stun.CHANNEL_NUMBER, 0x4001, "4001 0000"),
        (stun.LIFETIME, 600, "00000258"),
        (stun.REQUESTED_TRANSPORT, 17, "11 000000"),
        (stun.REQUESTED_ADDRESS_FAMILY, 2, "02 000000"),
        (stun.EVEN_PORT, True, "80"),
        (stun.EVEN_PORT, False, "00"),
        (stun.DONT_FRAGMENT, True, ""),
        (stun.ICMP, stun.Icmp(3, 4, bytes.fromhex("00000500")), "0000 03 04 00000500"),
        (stun.CHANGE_REQUEST, stun.ChangeRequest(True, False), "00000004"),
        (stun.CHANGE_REQUEST, stun.ChangeRequest(False, True), "00000002"),
        (stun.RESPONSE_PORT, 3478, "0d96 0000"),
        (stun.PASSWORD_ALGORITHM, stun.PasswordAlgorithmValue(2), "0002 0000"),
        (
            stun.PASSWORD_ALGORITHMS,
            (stun.PasswordAlgorithmValue(2, b"abc"), stun.PasswordAlgorithmValue(1)),
            "0002 0003 61626300 0001 0000",
        ),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_values_as_they_stand_on_the_wire(attribute: Attribute[Any], value: object, wire: str) -> None:
    assert attribute.encode(value, MASK).hex() == wire.replace(" ", "")
    assert attribute.decode(bytes.fromhex(wire), MASK) == value


@pytest.mark.parametrize(
    ("attribute", "wire", "value"),
    [
        (stun.EVEN_PORT, "ff", True),
        (stun.EVEN_PORT, "7f", False),
        (stun.CHANNEL_NUMBER, "4001 ffff", 0x4001),
        (stun.REQUESTED_TRANSPORT, "11 ffffff", 17),
        (stun.REQUESTED_ADDRESS_FAMILY, "01 ffffff", 1),
        (stun.MAPPED_ADDRESS, "ff01 8055 c0000201", Address("192.0.2.1", 32853)),
        (stun.ERROR_CODE, "ffff fc01", stun.ErrorCode(401, "")),
        (stun.ICMP, "ffff 0b 00 00000000", stun.Icmp(11, 0)),
        (stun.CHANGE_REQUEST, "fffffff9", stun.ChangeRequest(False, False)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_reserved_bits_are_not_read(attribute: Attribute[Any], wire: str, value: object) -> None:
    assert attribute.decode(bytes.fromhex(wire), MASK) == value


@pytest.mark.parametrize(
    ("attribute", "wire"),
    [
        (stun.XOR_PEER_ADDRESS, ""),
        (stun.XOR_PEER_ADDRESS, "00"),
        (stun.XOR_PEER_ADDRESS, "0001 a147 e112a6"),
        (stun.XOR_PEER_ADDRESS, "0001 a147 e112a643 00"),
        (stun.XOR_PEER_ADDRESS, "0002 a147 e112a643"),
        (stun.XOR_PEER_ADDRESS, "0003 a147 e112a643"),
        (stun.XOR_PEER_ADDRESS, "0001 a147" + "00" * 16),
        (stun.LIFETIME, "000258"),
        (stun.LIFETIME, "0000000258"),
        (stun.CHANNEL_NUMBER, "4001"),
        (stun.REQUESTED_TRANSPORT, "11"),
        (stun.EVEN_PORT, ""),
        (stun.EVEN_PORT, "8000"),
        (stun.DONT_FRAGMENT, "00"),
        (stun.RESERVATION_TOKEN, "00" * 7),
        (stun.RESERVATION_TOKEN, "00" * 9),
        (stun.MESSAGE_INTEGRITY, "00" * 19),
        (stun.USERHASH, "00" * 31),
        (stun.USERNAME, "61" * 509),
        (stun.USERNAME, "ff"),
        (stun.REALM, "61" * 764),
        (stun.ERROR_CODE, "000004"),
        (stun.ERROR_CODE, "00000200"),
        (stun.ERROR_CODE, "00000700"),
        (stun.ERROR_CODE, "00000464"),
        (stun.ERROR_CODE, "00000401 ff"),
        (stun.UNKNOWN_ATTRIBUTES, "001a7f"),
        (stun.ICMP, "00000304"),
        (stun.CHANGE_REQUEST, "0004"),
        (stun.PASSWORD_ALGORITHM, "0002"),
        (stun.PASSWORD_ALGORITHM, "0002 0004 616263"),
        (stun.PASSWORD_ALGORITHM, "0002 0000 0001 0000"),
        (stun.PASSWORD_ALGORITHMS, "0002 0000 0001"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_what_has_another_form_is_refused(attribute: Attribute[Any], wire: str) -> None:
    with pytest.raises(AttributeValueError, match=f"^{attribute.name}: "):
        attribute.decode(bytes.fromhex(wire), MASK)


@pytest.mark.parametrize(("attribute", "most"), [(stun.USERNAME, 508), (stun.REALM, 763), (stun.ALTERNATE_DOMAIN, 255)])
def test_a_text_may_be_so_long(attribute: Attribute[str], most: int) -> None:
    assert attribute.decode(b"a" * most, MASK) == "a" * most
    with pytest.raises(AttributeValueError, match="may stand"):
        attribute.decode(b"a" * (most + 1), MASK)


@given(addresses, masks)
def test_the_mask_of_an_address_is_that_of_rfc8489_14_2(address: Address, mask: bytes) -> None:
    wire = stun.XOR_MAPPED_ADDRESS.encode(address, mask)
    host = int(ipaddress.ip_address(address.host))
    size = len(wire) - 4
    assert int.from_bytes(wire[2:4]) == address.port ^ 0x2112
    assert int.from_bytes(wire[4:]) == host ^ int.from_bytes(mask[:size])
