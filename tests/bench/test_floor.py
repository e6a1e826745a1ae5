"""The floor on real sockets: everything comes out where it belongs, as it came."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from bench.cases import Framing
from bench.floor import Floor, FloorCall
from bench.programs import ProgramError
from fairlead.datagram import Address

pytestmark = pytest.mark.requires("gcc")

UDP_SEGMENT = 103


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=[True, False], ids=["trains", "plain"])
def floor(request: pytest.FixtureRequest, stack: ExitStack) -> Floor:
    made = Floor(None, request.param)
    stack.callback(made.stop)
    return made


def bound(stack: ExitStack) -> socket.socket:
    opened = stack.enter_context(closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
    opened.bind(("127.0.0.1", 0))
    opened.settimeout(20)
    return opened


def call(floor: Floor, stack: ExitStack, peer: socket.socket) -> FloorCall:
    made = floor.call()
    made.socket.settimeout(20)
    stack.callback(made.release)
    assert made.reach(Address(*peer.getsockname()), Framing.CHANNEL, 172) == b""
    return made


def test_packets_of_many_clients_go_to_their_peers_and_back(floor: Floor, stack: ExitStack) -> None:
    peers = [bound(stack) for _ in range(20)]
    calls = [call(floor, stack, peer) for peer in peers]
    for number in range(5):
        for index, each in enumerate(calls):
            each.socket.send(b"%d to %d" % (number, index))
    for number in range(5):
        for index, (each, peer) in enumerate(zip(calls, peers, strict=True)):
            assert peer.recvfrom(100) == (b"%d to %d" % (number, index), each.relayed)
            peer.sendto(b"%d from %d" % (number, index), each.relayed)
            assert each.socket.recv(100) == b"%d from %d" % (number, index)


def test_a_train_arrives_as_the_packets_that_it_was_made_of(floor: Floor, stack: ExitStack) -> None:
    peer = bound(stack)
    each = call(floor, stack, peer)
    train = b"".join(bytes([number]) * 100 for number in range(9)) + b"tail"
    each.socket.sendmsg([train], [(socket.IPPROTO_UDP, UDP_SEGMENT, (100).to_bytes(2, "little"))])
    each.socket.send(b"behind it")
    each.socket.send(b"")
    heard = [peer.recv(2000) for _ in range(12)]
    assert heard == [*(bytes([number]) * 100 for number in range(9)), b"tail", b"behind it", b""]


def test_a_floor_that_is_gone_says_so(floor: Floor) -> None:
    os.kill(floor.pid, signal.SIGKILL)
    with pytest.raises(ProgramError, match="ended at"):
        floor.ask("open 127.0.0.1 9")
