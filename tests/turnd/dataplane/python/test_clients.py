"""What the conformance cases cannot bring about: a kernel without room, and clients whose sockets are gone."""

import errno
import math

from fairlead.reasons import Reason
from turnd.dataplane.python.clients import BoundChannel, Client
from turnd.dataplane.python.switchboard import TALLY_LENGTH, SocketAddress, Switchboard

CHANNEL_DATA = b"\x40\x00\x00\x04data"
PEER = ("192.0.2.1", 9)


def test_a_packet_that_the_kernel_has_no_room_for_is_dropped_and_not_counted_as_sent() -> None:
    def refuse(data: bytes | memoryview, destination: SocketAddress) -> None:
        raise BlockingIOError(errno.EAGAIN, "no room")

    switchboard, tally = Switchboard(), [0] * TALLY_LENGTH
    client = Client(switchboard)
    client.channels[0x4000] = BoundChannel(refuse, PEER, False, tally, math.inf, math.inf)
    assert client.forward(CHANNEL_DATA, memoryview(CHANNEL_DATA), len(CHANNEL_DATA))
    assert switchboard.dropped[Reason.SEND_BUFFER] == 1
    assert not any(tally)


def test_data_is_sent_out_of_the_buffer_it_came_into() -> None:
    sent = []

    def send(data: bytes | memoryview, destination: SocketAddress) -> None:
        assert isinstance(data, memoryview)
        sent.append((data.obj, bytes(data), destination))

    client = Client(Switchboard())
    client.channels[0x4000] = BoundChannel(send, PEER, False, [0] * TALLY_LENGTH, math.inf, math.inf)
    buffer = bytearray(CHANNEL_DATA)
    assert client.forward(buffer, memoryview(buffer), len(buffer))
    assert sent[0][0] is buffer
    assert sent[0][1:] == (b"data", PEER)
