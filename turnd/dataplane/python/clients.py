"""Clients, and what becomes of the messages that they send (RFC 8656 sections 11.2 and 12.6)."""

from collections.abc import Callable
from struct import Struct
from typing import NamedTuple, Protocol

from fairlead.datagram import Family
from fairlead.reasons import Reason
from turnd.dataplane.python.indications import read_send
from turnd.dataplane.python.switchboard import TO_PEER_CHANNEL, SocketAddress, Switchboard
from turnd.dataplane.shares import Share

#: Number and length: the header of ChannelData (RFC 8656 section 12.4).
CHANNEL_HEADER = Struct("!HH")
#: Below stand STUN's message types, above what is neither (RFC 7983).
_FIRST_CHANNEL, _LAST_CHANNEL = 0x4000, 0x7FFF

#: Sends bytes to an address, or into the stream that it stands for; raises OSError when the kernel refuses them.
Transmit = Callable[[bytes | memoryview, SocketAddress], object]


class BoundChannel(NamedTuple):
    """A channel of a client."""

    transmit: Transmit
    peer: SocketAddress
    #: Whether that is a relayed address of ours.
    own: bool
    tally: list[int]
    #: Until when it may be used: never without a permission. And until when it is bound.
    usable: float
    bound: float


class OwnedRelay(Protocol):
    """A relay socket, as far as its client has to do with it."""

    until: float

    def send_indicated(self, host: int, port: int, data: memoryview) -> None:
        """Takes a host and a port as the client wrote them, and the data for them."""


class Client:
    """What one 5-tuple may use; the relay sockets that belong to it fill this in. Without one it is a stranger."""

    __slots__ = ("_switchboard", "channels", "relays", "share")

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard
        #: One relay socket of each family at most.
        self.relays: dict[Family, OwnedRelay] = {}
        self.channels: dict[int, BoundChannel] = {}
        self.share = Share()

    def forward(self, message: bytes | bytearray, view: memoryview, size: int) -> bool:
        """Forwards the first `size` bytes, or drops them; False when they are for the core to read.

        `message` holds at least 4 bytes, of earlier messages if need be; `view` shows the same ones.
        """
        number, length = CHANNEL_HEADER.unpack_from(message)
        channel = self.channels.get(number)
        end = length + 4
        if channel is None or end > size:
            return self._forward_or_refuse(message, view, size)
        sendto, peer, own, tally, usable, _ = channel
        if self._switchboard.now >= usable:
            return self._forward_or_refuse(message, view, size)
        if own and peer not in self._switchboard.living:
            self._switchboard.drop(Reason.PEER_NOT_ALLOCATED)
            return True
        try:
            sendto(view[4:end], peer)
        except OSError as error:
            self._switchboard.drop_refused(error)
            return True
        tally[TO_PEER_CHANNEL] += 1
        tally[TO_PEER_CHANNEL + 1] += length
        return True

    def _forward_or_refuse(self, message: bytes | bytearray, view: memoryview, size: int) -> bool:
        """All that is no whole ChannelData on an open channel."""
        if size < CHANNEL_HEADER.size:
            return False
        number, length = CHANNEL_HEADER.unpack_from(message)
        if _FIRST_CHANNEL <= number <= _LAST_CHANNEL:
            self._switchboard.drop(self._why_closed(number, complete=length + 4 <= size))
            return True
        indication = read_send(message, size)
        if indication is None:
            return False
        family, host, port, start, end = indication
        relay = self.relays.get(family)
        if relay is not None and self._switchboard.now < relay.until:
            relay.send_indicated(host, port, view[start:end])
        else:
            self._switchboard.drop(Reason.PEER_FAMILY if self._has_relay() else Reason.NO_ALLOCATION)
        return True

    def _why_closed(self, number: int, complete: bool) -> Reason:
        if not complete:
            return Reason.MALFORMED
        if not self._has_relay():
            return Reason.NO_ALLOCATION
        channel = self.channels.get(number)
        is_bound = channel is not None and self._switchboard.now < channel.bound
        return Reason.NO_PERMISSION if is_bound else Reason.NO_CHANNEL

    def _has_relay(self) -> bool:
        return any(self._switchboard.now < relay.until for relay in self.relays.values())
