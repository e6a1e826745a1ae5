"""Runs of addresses: as people write them, where they end, and which of several holds."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from turnd.protocol.address_ranges import AddressRange, RangeMap, parse_host, parse_range

numbers = {32: st.integers(0, 2**32 - 1), 128: st.integers(0, 2**128 - 1)}
families = st.sampled_from([32, 128])
small_ranges = st.tuples(st.integers(0, 40), st.integers(0, 12)).map(
    lambda ends: AddressRange(32, ends[0], ends[0] + ends[1])
)


@given(families, st.data())
def test_a_range_comes_back_from_its_text(bits: int, data: st.DataObject) -> None:
    first, last = sorted(data.draw(st.tuples(numbers[bits], numbers[bits])))
    found = AddressRange(bits, first, last)
    assert parse_range(str(found)) == found
    single = AddressRange(bits, first, first)
    assert parse_range(str(single)) == parse_host(str(single)) == single


@given(families, st.integers(0, 128), st.data())
def test_a_network_is_the_run_that_the_standard_library_says(bits: int, prefix: int, data: st.DataObject) -> None:
    make = IPv4Address if bits == 32 else IPv6Address
    network = ip_network((make(data.draw(numbers[bits])), min(prefix, bits)), strict=False)
    assert parse_range(str(network)) == AddressRange(bits, int(network[0]), int(network[-1]))


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("10.1.2.3", "10.1.2.3", "10.1.2.3"),
        ("10.1.2.0/24", "10.1.2.0", "10.1.2.255"),
        ("10.1.2.0/255.255.255.0", "10.1.2.0", "10.1.2.255"),
        ("10.1.2.7-10.1.3.9", "10.1.2.7", "10.1.3.9"),
        ("10.1.2.7 - 10.1.2.7", "10.1.2.7", "10.1.2.7"),
        ("FD00::/120", "fd00::", "fd00::ff"),
        ("fd00::5-fd00::1:2", "fd00::5", "fd00::1:2"),
        ("0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
    ],
)
def test_ranges_as_people_write_them(text: str, first: str, last: str) -> None:
    found = parse_range(text)
    assert (found.first, found.last) == (int(ip_address(first)), int(ip_address(last)))
    assert found.bits == ip_address(first).max_prefixlen


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("10.0.0.1/8", "write 10.0.0.0/8"),
        ("fd00::1/64", "write fd00::/64"),
        ("10.0.0.9-10.0.0.1", "write 10.0.0.1-10.0.0.9"),
        ("10.0.0.1-fd00::1", "write two ranges"),
        ("10.0.0.1-", "write FIRST-LAST"),
        ("-10.0.0.1", "write FIRST-LAST"),
        ("10.0.0.1-10.0.0.2-10.0.0.3", "write FIRST-LAST"),
        ("redis-1.internal", "write FIRST-LAST"),
        ("fe80::1%eth0", "without it"),
        ("10.0.0.0/33", "write an IP address"),
        ("10.0.0.256", "write an IP address"),
        ("10.0.0.0.0", "write an IP address"),
        ("010.0.0.1", "write an IP address"),
        ("10.0.0", "write an IP address"),
        ("167772160", "write an IP address"),
        ("", "write an IP address"),
        ("/8", "write an IP address"),
    ],
)
def test_what_is_no_range_is_refused_with_the_remedy(text: str, remedy: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_range(text)
    assert remedy in str(caught.value)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["relay.example", "10.0.0.0/8", "10.0.0.1-10.0.0.2", "", "10.0.0.1:3478"])
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no IP address; names are not looked up here"):
        parse_host(text)


@pytest.mark.parametrize(
    ("inner", "outer", "inside"),
    [
        ("10.0.0.1-10.0.0.9", "10.0.0.1-10.0.0.9", True),
        ("10.0.0.1-10.0.0.9", "10.0.0.0/8", True),
        ("10.0.0.0-10.0.0.9", "10.0.0.1-10.0.0.9", False),
        ("10.0.0.1-10.0.0.10", "10.0.0.1-10.0.0.9", False),
        ("::a", "0.0.0.0/8", False),
    ],
)
def test_lying_in_another_range(inner: str, outer: str, inside: bool) -> None:
    assert parse_range(inner).lies_in(parse_range(outer)) is inside


@given(st.lists(st.tuples(small_ranges, st.integers(0, 3)), max_size=8))
def test_of_overlapping_ranges_the_earlier_one_holds(layers: list[tuple[AddressRange, int]]) -> None:
    everything = AddressRange(32, 0, 2**32 - 1)
    table = RangeMap([*layers, (everything, 9)])
    for number in [*range(60), 2**32 - 1]:
        holding = [value for found, value in layers if found.first <= number <= found.last]
        assert table[number] == (holding or [9])[0]


@given(st.lists(st.tuples(small_ranges, st.integers(0, 3)), max_size=8))
def test_runs_tile_the_family_and_neighbours_differ(layers: list[tuple[AddressRange, int]]) -> None:
    table = RangeMap([*layers, (AddressRange(32, 0, 2**32 - 1), 9)])
    runs = list(table.runs())
    assert runs[0][0] == 0
    assert runs[-1][1] == 2**32 - 1
    for (_, last, value), (first, _, following) in pairwise(runs):
        assert first == last + 1
        assert following != value
    assert all(table[first] == table[last] == value for first, last, value in runs)


@given(families, st.data())
def test_a_range_of_any_size_ends_where_it_ends(bits: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(1, 2**bits - 2))
    last = data.draw(st.integers(first, 2**bits - 2))
    make = IPv4Address if bits == 32 else IPv6Address
    found = parse_range(f"{make(first)}-{make(last)}")
    table = RangeMap([(found, True), (AddressRange(bits, 0, 2**bits - 1), False)])
    assert [table[number] for number in (first - 1, first, last, last + 1)] == [False, True, True, False]
