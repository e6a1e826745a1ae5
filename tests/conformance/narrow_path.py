"""A program for a network namespace of its own: an engine whose path to its peers is 1280 bytes wide."""

import socket
import struct
import sys
from contextlib import ExitStack
from fcntl import ioctl

from fairlead.native import EngineChoice
from fairlead.reasons import Reason
from tests.conformance.kit import Rig
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
        made = make_engine(EngineChoice(engine), EngineSettings())
        stack.callback(made.close)
        rig = Rig(made, host, stack)
        _, relay, peer = rig.call()
        for data, dont_fragment in ((bytes(2000), False), (bytes(1000), True), (bytes(2000), False)):
            made.send_from_relay(relay.number, peer.address, data, dont_fragment)
            assert peer.receive() == (data, relay.address)
        made.send_from_relay(relay.number, peer.address, bytes(2000), True)
        rig.expect_dropped(Reason.TOO_LARGE)


if __name__ == "__main__":
    main(*sys.argv[1:])
