"""RFC 8656 section 18, STUN Attributes: what is reserved is not read, what is too long or too short is refused."""

import pytest

from fairlead.stun.attributes import (
    CHANNEL_NUMBER,
    EVEN_PORT,
    REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT,
    RESERVATION_TOKEN,
    UDP,
    XOR_PEER_ADDRESS,
)
from fairlead.stun.header import Method
from tests.turnd.kit import PEER, Client, World, raw


def test_18_1_channel_number_ends_in_reserved_bytes() -> None:
    """They are not read."""
    alice = Client(World())
    alice.allocated()
    number = raw(CHANNEL_NUMBER, b"\x40\x00\xff\xff")
    assert alice.ask(Method.CHANNEL_BIND, number, (XOR_PEER_ADDRESS, PEER)).code == 0


def test_18_6_requested_address_family_ends_in_reserved_bytes() -> None:
    """They are not read."""
    assert Client(World()).allocate(raw(REQUESTED_ADDRESS_FAMILY, b"\x01\xff\xff\xff")).code == 0


@pytest.mark.parametrize("value", [b"", b"\1", b"\1\0\0", b"\1\0\0\0\0"])
def test_18_6_requested_address_family_has_four_bytes(value: bytes) -> None:
    """Any other length is a bad request."""
    assert Client(World()).allocate(raw(REQUESTED_ADDRESS_FAMILY, value)).code == 400


@pytest.mark.parametrize(("value", "reserves"), [(b"\x00", False), (b"\x7f", False), (b"\x80", True), (b"\xff", True)])
def test_18_7_even_port_has_one_bit_that_counts(value: bytes, reserves: bool) -> None:
    """The others are reserved and not read."""
    assert Client(World()).allocate(raw(EVEN_PORT, value)).has(RESERVATION_TOKEN) is reserves


@pytest.mark.parametrize("value", [b"", b"\0\0", b"\0\0\0\0"])
def test_18_7_even_port_has_one_byte(value: bytes) -> None:
    """Any other length is a bad request."""
    assert Client(World()).allocate(raw(EVEN_PORT, value)).code == 400


def test_18_8_requested_transport_ends_in_reserved_bytes() -> None:
    """They are not read."""
    value = bytes((UDP, 0xFF, 0xFF, 0xFF))
    assert Client(World()).ask(Method.ALLOCATE, raw(REQUESTED_TRANSPORT, value)).code == 0


def test_18_10_tokens_have_eight_bytes_and_are_told_apart() -> None:
    """Each reservation has one of its own."""
    world = World()
    tokens = {Client(world).allocate((EVEN_PORT, True)).first(RESERVATION_TOKEN) for _ in range(10)}
    assert len(tokens) == 10
    assert {len(token) for token in tokens if token is not None} == {8}
