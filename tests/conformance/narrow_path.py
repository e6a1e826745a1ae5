"""A program for a network namespace of its own: an engine whose path to its peers is 1280 bytes wide."""

import socket
import struct
import sys
from contextlib import ExitStack
from fcntl import ioctl

from fairlead.reasons import Reason
from tests.conformance.conftest import ENGINES
from tests.conformance.kit import IPV4, Client, End, Relay, Rig, channel_data, plain_send
from turnd.dataplane.choice import make_engine
from turnd.dataplane.contract import EngineSettings

MTU = 1280
_SIOCSIFFLAGS, _SIOCSIFMTU, _IFF_UP = 0x8914, 0x8922, 0x1


def narrow_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        ioctl(control, _SIOCSIFMTU, struct.pack("16si", b"lo", MTU))
        ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _IFF_UP))


def main(engine: str, host: str) -> None:
    narrow_loopback()
    with ExitStack() as stack:
        choice, threads, io = ENGINES[engine]
        made = make_engine(choice, EngineSettings(threads=threads, io=io))
        stack.callback(made.close)
        rig = Rig(made, host, stack)
        client, relay, peer = rig.call()
        if host == IPV4:
            check_fragment_bits(client, relay, peer)
        for data, dont_fragment in ((bytes(2000), False), (bytes(1000), True), (bytes(2000), False)):
            made.send_from_relay(relay.number, peer.address, data, dont_fragment)
            assert peer.receive() == (data, relay.address)
        made.send_from_relay(relay.number, peer.address, bytes(2000), True)
        rig.expect_dropped(Reason.TOO_LARGE)
        starve(engine, host, stack)


def check_fragment_bits(client: Client, relay: Relay, peer: End) -> None:
    """DF stands on the packets for which it was asked, and on no others (RFC 8656 section 15)."""
    engine, bits = relay.rig.engine, []
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as tap:
        for dont_fragment in (False, True, False):
            engine.send_from_relay(relay.number, peer.address, b"up", dont_fragment)
            peer.receive()
            bits.append(dont_fragment_bit(tap, peer.address.port))
        client.say(channel_data(b"up"))
        peer.receive()
        bits.append(dont_fragment_bit(tap, peer.address.port))
        peer.send(b"down", relay.address)
        client.receive()
        bits.append(dont_fragment_bit(tap, client.address.port))
    assert bits == [False, True, False, False, False]


def dont_fragment_bit(tap: socket.socket, port: int) -> bool:
    """That of the next packet to a port."""
    while True:
        packet = tap.recv(65536)
        if int.from_bytes(packet[22:24]) == port:
            return bool(packet[6] & 0x40)


def starve(engine: str, host: str, stack: ExitStack) -> None:
    """The kernel gives no room for the fragments of a long packet (ENOBUFS): counted, and shorter ones pass."""
    choice, threads, io = ENGINES[engine]
    made = make_engine(choice, EngineSettings(send_buffer=1, threads=threads, io=io))
    stack.callback(made.close)
    rig = Rig(made, host, stack)
    client, relay, peer = rig.call()
    client.say(channel_data(bytes(40000)))
    rig.expect_dropped(Reason.SEND_BUFFER, 1)
    client.say(plain_send(peer.address, bytes(40000)))
    rig.expect_dropped(Reason.SEND_BUFFER, 2)
    made.send_from_relay(relay.number, peer.address, bytes(40000), False)
    rig.expect_dropped(Reason.SEND_BUFFER, 3)
    peer.send(bytes(40000), relay.address)
    rig.expect_dropped(Reason.SEND_BUFFER, 4)
    client.say(channel_data(b"up"))
    assert peer.receive() == (b"up", relay.address)
    peer.send(b"down", relay.address)
    assert client.receive() == (channel_data(b"down"), rig.listener)


if __name__ == "__main__":
    main(*sys.argv[1:])
