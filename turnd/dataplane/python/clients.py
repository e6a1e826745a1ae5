"""Clients, and what becomes of the messages that they send (RFC 8656 sections 11.2 and 12.6)."""

from collections.abc import Callable
from struct import Struct

from fairlead.datagram import Family
from fairlead.reasons import Reason
from turnd.dataplane.python.indications import read_send
from turnd.dataplane.python.switchboard import TO_PEER_CHANNEL, SocketAddress, Switchboard

#: Number and length: the header of ChannelData (RFC 8656 section 12.4).
CHANNEL_HEADER = Struct("!HH")
#: Below stand STUN's message types, above what is neither (RFC 7983).
_FIRST_CHANNEL, _LAST_CHANNEL = 0x4000, 0x7FFF

#: Sends bytes to an address, or into the stream that it stands for; raises OSError when the kernel refuses them.
Transmit = Callable[[bytes | memoryview, SocketAddress], object]
#: A channel that may be used: how to send and where to, whether that is a relayed address of ours, and the tally.
OpenChannel = tuple[Transmit, SocketAddress, bool, list[int]]
#: Takes a host and a port as the client wrote them, and the data for them.
SendIndicated = Callable[[int, int, memoryview], None]


class Client:
    """What one 5-tuple may use; the relay sockets that belong to it fill this in. Without one it is a stranger."""

    __slots__ = ("_switchboard", "channels", "relays")

    def __init__(self, switchboard: Switchboard) -> None:
        self._switchboard = switchboard
        #: One relay socket of each family at most, by how it sends.
        self.relays: dict[Family, SendIndicated] = {}
        #: Bound channels by number; None where the permission is missing.
        self.channels: dict[int, OpenChannel | None] = {}

    def forward(self, message: bytes | bytearray, view: memoryview, size: int) -> bool:
        """Forwards the first `size` bytes, or drops them; False when they are for the core to read.

        `message` holds at least 4 bytes, of earlier messages if need be; `view` shows the same ones.
        """
        number, length = CHANNEL_HEADER.unpack_from(message)
        channel = self.channels.get(number)
        end = length + 4
        if channel is None or end > size:
            return self._forward_or_refuse(message, view, size)
        sendto, peer, own, tally = channel
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
        send = self.relays.get(family)
        if send is not None:
            send(host, port, view[start:end])
        else:
            self._switchboard.drop(Reason.PEER_FAMILY if self.relays else Reason.NO_ALLOCATION)
        return True

    def _why_closed(self, number: int, complete: bool) -> Reason:
        if not complete:
            return Reason.MALFORMED
        if not self.relays:
            return Reason.NO_ALLOCATION
        return Reason.NO_PERMISSION if number in self.channels else Reason.NO_CHANNEL
