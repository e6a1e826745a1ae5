"""Runs of IP addresses as numbers: as people write them, and as a table that is asked by address.

Addresses are compared as whole numbers. Compared byte by byte, a range that does not end on a byte's edge comes out
too small.
"""

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

IPV4_BITS, IPV6_BITS = 32, 128


class AddressRange(NamedTuple):
    """Addresses of one family, both ends included; `bits` is 32 or 128."""

    bits: int
    first: int
    last: int

    def __str__(self) -> str:
        address = IPv4Address if self.bits == IPV4_BITS else IPv6Address
        if self.first == self.last:
            return str(address(self.first))
        return f"{address(self.first)}-{address(self.last)}"

    def lies_in(self, other: "AddressRange") -> bool:
        return self.bits == other.bits and other.first <= self.first and self.last <= other.last


def parse_host(text: str) -> AddressRange:
    """One address. Raises ValueError for anything else."""
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError(f"{text!r} is no IP address; names are not looked up here") from None
    return AddressRange(address.max_prefixlen, int(address), int(address))


def parse_range(text: str) -> AddressRange:
    """Reads an address, a CIDR network or FIRST-LAST. Raises ValueError with what to write instead."""
    if "%" in text:
        raise ValueError(f"{text!r} has a zone; write the address without it")
    if "-" in text:
        return _parse_ends(text)
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f"{text!r} is no address; write an IP address, a network (10.0.0.0/8) or a range (10.0.0.1-10.0.0.9)"
        ) from None
    if "/" in text and ip_address(text.partition("/")[0]) != network.network_address:
        raise ValueError(f"{text!r} is no network, since bits behind its prefix are set; write {network}")
    return AddressRange(network.max_prefixlen, int(network.network_address), int(network.broadcast_address))


def _parse_ends(text: str) -> AddressRange:
    first, _, last = (part.strip() for part in text.partition("-"))
    try:
        lower, upper = ip_address(first), ip_address(last)
    except ValueError:
        raise ValueError(f"{text!r} is no range; write FIRST-LAST, two IP addresses") from None
    if lower.version != upper.version:
        raise ValueError(f"{text!r} begins in one address family and ends in the other; write two ranges")
    if int(lower) > int(upper):
        raise ValueError(f"{text!r} ends before it begins; write {upper}-{lower}")
    return AddressRange(lower.max_prefixlen, int(lower), int(upper))


class RangeMap(Generic[T]):
    """What holds for each address of one family: where a run of addresses begins, and what from there on.

    Made from ranges with their values; where they overlap the earlier one wins. The last one covers all addresses.
    """

    def __init__(self, layers: Iterable[tuple[AddressRange, T]]) -> None:
        self._starts: list[int] = []
        self._values: list[T] = []
        ranked = [(found.first, rank, found.last, value) for rank, (found, value) in enumerate(layers)]
        coming = sorted(ranked, key=lambda layer: layer[0], reverse=True)
        edges = sorted({edge for first, _, last, _ in ranked for edge in (first, last + 1)})
        self._end = edges.pop()
        active: list[tuple[int, int, T]] = []
        for edge in edges:
            while coming and coming[-1][0] == edge:
                _, rank, last, value = coming.pop()
                heapq.heappush(active, (rank, last, value))
            while active[0][1] < edge:
                heapq.heappop(active)
            self._append(edge, active[0][2])

    def __getitem__(self, number: int) -> T:
        return self._values[bisect_right(self._starts, number) - 1]

    def runs(self) -> Iterator[tuple[int, int, T]]:
        """First and last address of each run, and what holds there."""
        ends = [*self._starts[1:], self._end]
        for first, end, value in zip(self._starts, ends, self._values, strict=True):
            yield first, end - 1, value

    def _append(self, start: int, value: T) -> None:
        if not self._values or self._values[-1] != value:
            self._starts.append(start)
            self._values.append(value)
