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


class Kind(enum.StrEnum):
    """What a load is like: packets of all clients in turn, as audio is; trains of one client's, as video is; or
    packets in indications."""

    INTERLEAVED = "interleaved"
    TRAINS = "trains"
    INDICATIONS = "indications"


@dataclass(frozen=True, slots=True)
class Case:
    """One load: so many allocations, each packet of `size` bytes of application data.

    `train` packets of one sender leave together, as those of a video frame do: the network's cards merge them.
    """

    allocations: int
    size: int
    direction: Direction
    framing: Framing
    train: int = 1

    @property
    def kind(self) -> Kind:
        if self.framing is Framing.INDICATION:
            return Kind.INDICATIONS
        return Kind.TRAINS if self.train > 1 else Kind.INTERLEAVED

    @property
    def name(self) -> str:
        trains = f"-trains{self.train}" if self.train > 1 else ""
        return f"relay-{self.framing}-{self.direction}-{self.size}B-{self.allocations}{trains}"


def combinations(
    allocations: Iterable[int],
    sizes: Iterable[int],
    directions: Iterable[Direction],
    framings: Iterable[Framing],
    trains: Iterable[int] = (1,),
) -> Iterator[Case]:
    """Every combination, in the order of the arguments."""
    for train, framing, direction, size, count in itertools.product(trains, framings, directions, sizes, allocations):
        yield Case(count, size, direction, framing, train)
