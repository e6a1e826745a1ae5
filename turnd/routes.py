"""The words that the core and the engines share: what may be forwarded, from and to whom."""

import enum
from typing import NamedTuple, NewType

from fairlead.buckets import UNLIMITED, Rate
from fairlead.datagram import Address

#: One relay socket. An allocation has one per address family; a reserved port has one before it has an allocation.
RelayId = NewType("RelayId", int)


class Ports(enum.StrEnum):
    """Which ports of a permitted host may be reached."""

    ANY = "any"
    #: The host is one of our own relay addresses: only ports of open relay sockets, judged packet by packet.
    OWN_RELAYED = "own_relayed"


class Permission(NamedTuple):
    """A host that a relay socket may exchange packets with (RFC 8656 section 9)."""

    relay: RelayId
    host: str
    ports: Ports


class Channel(NamedTuple):
    """A channel number bound to a peer (RFC 8656 section 12); its permission is a route of its own."""

    relay: RelayId
    number: int
    peer: Address


Route = Permission | Channel


class Bandwidth(NamedTuple):
    """Bytes of application data a second, both directions together: of one relay socket, and of all that a user has."""

    allocation: Rate = UNLIMITED
    user: Rate = UNLIMITED

    @property
    def is_limit(self) -> bool:
        return bool(self.allocation.per_second or self.user.per_second)
