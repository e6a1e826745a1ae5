"""What all sockets of one engine share: the packet buffer, the list of our own relayed addresses, the tallies."""

import itertools
import os
import time
from collections.abc import Iterator
from typing import Any

from fairlead.datagram import Address, Datagram, Family
from fairlead.reasons import Reason
from fairlead.udp import why_refused
from turnd.dataplane.contract import HandUp, StreamData

#: What Python's sockets take and return: (host, port) or (host, port, flow, scope). Its host is inet_ntop's text.
SocketAddress = tuple[Any, ...]

#: Room in front of a peer's datagram for the longest header that it may get: a Data indication over IPv6.
HEADROOM = 48
#: One byte more than the longest UDP datagram: nothing that is received is ever cut off.
_LARGEST = 65536
_PADDING = 3

#: Bytes that one turn may hand up before it lets its caller work; what is left waits in the kernel's queues.
_HANDED_UP_MOST = 1 << 20
#: What a byte of a stranger counts there: requests are read attribute by attribute, and anybody may send them.
STRANGERS_WEIGHT = 16

#: A tally holds packets at these places, and bytes of application data right behind each.
TO_PEER_CHANNEL, TO_PEER_INDICATION, TO_CLIENT_CHANNEL, TO_CLIENT_INDICATION = range(0, 8, 2)
TALLY_LENGTH = 8


class NotTakenError(OSError):
    """A packet that we did not want to give to the kernel, and why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__()
        self.reason = reason


class Switchboard:
    """Where the sockets of an engine meet."""

    __slots__ = (
        "_handed_up",
        "_handed_up_bytes",
        "body",
        "buffer",
        "denied",
        "dropped",
        "living",
        "next_transaction",
        "now",
        "view",
    )

    def __init__(self) -> None:
        self.buffer = bytearray(HEADROOM + _LARGEST + _PADDING)
        self.view = memoryview(self.buffer)
        #: Where peers' datagrams are received.
        self.body = self.view[HEADROOM:-_PADDING]
        #: The address of every open relay socket, as the sockets write it.
        self.living: set[SocketAddress] = set()
        #: Peers that no permission opens.
        self.denied: frozenset[SocketAddress] = frozenset()
        #: What the clock showed when packets were last received.
        self.now = time.monotonic()
        self.dropped = dict.fromkeys(Reason, 0)
        self.next_transaction = _transactions().__next__
        self._handed_up: list[HandUp] = []
        self._handed_up_bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether the turn has handed up as many bytes as one turn may."""
        return self._handed_up_bytes >= _HANDED_UP_MOST

    def look_at_clock(self) -> None:
        self.now = time.monotonic()

    def hand_up(self, item: Datagram | StreamData, weight: int = 1) -> None:
        """Adds an item to what the turn hands up, whose bytes count so many times."""
        self._handed_up.append(item)
        self._handed_up_bytes += len(item.data) * weight

    def take_handed_up(self) -> list[HandUp]:
        handed_up, self._handed_up, self._handed_up_bytes = self._handed_up, [], 0
        return handed_up

    def drop(self, reason: Reason) -> None:
        self.dropped[reason] += 1

    def drop_refused(self, error: OSError) -> None:
        """Counts a packet that was not taken."""
        self.dropped[error.reason if isinstance(error, NotTakenError) else why_refused(error)] += 1


def _transactions() -> Iterator[int]:
    """Transaction ids for indications, below 2**96: each once, from a start that nobody can guess."""
    return itertools.count(int.from_bytes(os.urandom(12)) >> 1)


def socket_address(address: Address) -> SocketAddress:
    """An address as the sockets of its family write it."""
    if address.family is Family.IPV4:
        return (address.host, address.port)
    host, _, zone = address.host.partition("%")
    return (host, address.port, 0, int(zone or 0))


def address_of(source: SocketAddress) -> Address:
    """The inverse of socket_address; a link-local host carries its zone."""
    if len(source) == 4 and source[3]:
        return Address(f"{source[0]}%{source[3]}", source[1])
    return Address(source[0], source[1])
