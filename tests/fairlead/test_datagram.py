"""Addresses: one text for each, read from what people write and from the bytes of the wire."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.datagram import Address, Family, Transport, pack_host, parse_address, unpack_host

packed_hosts = st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)


@given(packed_hosts)
def test_a_host_comes_back_from_its_text(packed: bytes) -> None:
    host = unpack_host(packed)
    assert pack_host(host) == packed
    assert ipaddress.ip_address(host) == ipaddress.ip_address(packed)
    assert Address(host, 1).packed_host == packed
    assert Address(host, 1).family == (Family.IPV4 if len(packed) == 4 else Family.IPV6)


@given(packed_hosts, st.integers(0, 0xFFFF))
def test_an_address_comes_back_from_its_text(packed: bytes, port: int) -> None:
    address = Address(str(ipaddress.ip_address(packed)), port)
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1:3478", Address("192.0.2.1", 3478)),
        ("[2001:db8::1]:3478", Address("2001:db8::1", 3478)),
        ("[2001:DB8:0:0::1]:3478", Address("2001:db8::1", 3478)),
        ("192.0.2.1", Address("192.0.2.1", 9)),
        ("2001:db8::1", Address("2001:db8::1", 9)),
        ("[2001:db8::1]", Address("2001:db8::1", 9)),
        ("192.0.2.1:0", Address("192.0.2.1", 0)),
        ("192.0.2.1:65535", Address("192.0.2.1", 65535)),
    ],
)
def test_addresses_as_people_write_them(text: str, expected: Address) -> None:
    assert parse_address(text, default_port=9) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("192.0.2.1", "has no port; write it as HOST:PORT"),
        ("192.0.2.1:", "'' in '192.0.2.1:' is no port"),
        ("192.0.2.1:65536", "is no port (0 to 65535)"),
        ("192.0.2.1:-1", "is no port"),
        ("192.0.2.1:\u0663", "is no port"),
        ("localhost:3478", "'localhost' is no IP address; names are not looked up here"),
        ("[2001:db8::1:3478", "an IPv6 address with a port is [HOST]:PORT"),
        ("[2001:db8::1]3478", "an IPv6 address with a port is [HOST]:PORT"),
        ("192.0.2.256:1", "is no IP address"),
        (":3478", "'' is no IP address"),
        ("", "has no port"),
    ],
)
def test_what_is_no_address_is_refused_with_a_sentence(text: str, complaint: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_address(text)
    assert complaint in str(caught.value)


@pytest.mark.parametrize("text", ["", "localhost", "192.0.2", "192.0.2.1.1", "1:2", "::1::"])
def test_a_host_that_is_none_cannot_be_packed(text: str) -> None:
    with pytest.raises(OSError, match="illegal IP address"):
        pack_host(text)


@pytest.mark.parametrize("length", [0, 3, 5, 15, 17])
def test_other_lengths_are_no_host(length: int) -> None:
    with pytest.raises(ValueError):
        unpack_host(bytes(length))


def test_a_zone_is_left_out_of_the_packed_host() -> None:
    assert pack_host("fe80::1%eth0") == pack_host("fe80::1")


def test_streams_are_told_from_datagrams() -> None:
    assert [transport for transport in Transport if transport.is_stream] == [Transport.TCP, Transport.TLS]
