"""What is measured: cases as data."""

import enum
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


class Direction(enum.StrEnum):
    """Which way the load goes; `both` is a peer that echoes, and each direction counts."""

    BOTH = "both"
    UP = "up"
    DOWN = "down"


class Framing(enum.StrEnum):
    """What is between client and relay: ChannelData, or Send and Data indications."""

    CHANNEL = "channel"
    INDICATION = "indication"


@dataclass(frozen=True, slots=True)
class Case:
    """One load: so many allocations, each packet of `size` bytes of application data."""

    allocations: int
    size: int
    direction: Direction
    framing: Framing

    @property
    def name(self) -> str:
        return f"relay-{self.framing}-{self.direction}-{self.size}B-{self.allocations}"


def combinations(
    allocations: Iterable[int], sizes: Iterable[int], directions: Iterable[Direction], framings: Iterable[Framing]
) -> Iterator[Case]:
    """Every combination, in the order of the arguments."""
    for framing, direction, size, count in itertools.product(framings, directions, sizes, allocations):
        yield Case(count, size, direction, framing)
