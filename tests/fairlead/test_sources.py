import pytest

from fairlead.sources import source_prefix


def test_an_ipv4_address_is_a_source_of_its_own() -> None:
    assert source_prefix("192.0.2.1") == bytes((192, 0, 2, 1))
    assert source_prefix("192.0.2.1") != source_prefix("192.0.2.2")


def test_the_64_bits_of_a_site_are_one_source() -> None:
    assert source_prefix("2001:db8::1") == source_prefix("2001:db8::ffff:1") == bytes.fromhex("20010db800000000")
    assert source_prefix("2001:db8::1") != source_prefix("2001:db8:0:1::1")


def test_a_mapped_address_counts_as_the_one_inside() -> None:
    assert source_prefix("::ffff:192.0.2.1") == source_prefix("192.0.2.1")


def test_a_zone_is_no_part_of_the_source() -> None:
    assert source_prefix("fe80::1%2") == source_prefix("fe80::1")


def test_what_is_no_address_is_no_source() -> None:
    with pytest.raises(OSError):
        source_prefix("localhost")
