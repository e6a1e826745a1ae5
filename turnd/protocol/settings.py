"""What an operator may choose about the protocol, as the core wants it."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from fairlead.buckets import UNLIMITED, Rate
from fairlead.datagram import Family
from turnd.routes import Bandwidth

LOWEST_CHANNEL = 0x4000
NO_BANDWIDTH_LIMIT = Bandwidth()


class Expiry(enum.StrEnum):
    """What the end of a time-limited credential does to a living allocation."""

    #: Nothing: the credential is judged when the allocation is made.
    ALLOCATE = "allocate"
    #: The allocation cannot be refreshed any more.
    REFRESH = "refresh"
    #: The allocation ends with the credential.
    CUT = "cut"


class ChannelRange(enum.StrEnum):
    """Which channel numbers a client may bind."""

    #: 0x4000 to 0x7FFF, RFC 5766 section 11; what clients of that RFC draw from.
    WIDE = "wide"
    #: 0x4000 to 0x4FFF, RFC 8656 section 12.
    RFC8656 = "rfc8656"

    @property
    def highest(self) -> int:
        return 0x7FFF if self is ChannelRange.WIDE else 0x4FFF


class RelayHost(NamedTuple):
    """A relay address: where sockets are bound, and what clients are told (another one behind a 1:1 NAT)."""

    bound: str
    told: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Lifetimes are whole seconds; the limits are per allocation."""

    realm: str
    hosts: Mapping[Family, RelayHost]
    default_lifetime: int = 600
    max_lifetime: int = 3600
    channel_range: ChannelRange = ChannelRange.WIDE
    expiry: Expiry = Expiry.ALLOCATE
    max_permissions: int = 256
    max_channels: int = 256
    #: unauthenticated replies to one source, and to one user name from it
    challenge_rate: Rate = UNLIMITED
    failure_rate: Rate = UNLIMITED
    bandwidth: Bandwidth = NO_BANDWIDTH_LIMIT
