"""Allocates on their way: what has been asked of the shell, and what it has answered."""

from dataclasses import dataclass, field

from fairlead.datagram import Family
from turnd.protocol.allocations import RelaySocket
from turnd.protocol.quotas import Claim
from turnd.protocol.replies import Request

#: How many other ports are tried, one after the other, when another program has the first, before the answer is 508.
MOST_OTHERS = 16


@dataclass(slots=True)
class Opening:
    """An Allocate that waits for its relay sockets: one, or two when the next port is to be reserved."""

    request: Request
    lifetime: int
    family: Family
    even: bool
    reserve_next: bool
    others: int = MOST_OTHERS
    claims: list[Claim] = field(default_factory=list)
    waiting: list[RelaySocket] = field(default_factory=list)
    opened: list[RelaySocket] = field(default_factory=list)
