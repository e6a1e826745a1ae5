import itertools
import select
import socket

import pytest

from bench.junk import Kind, flood, packets
from fairlead.datagram import Address
from fairlead.stun.attributes import MESSAGE_INTEGRITY
from fairlead.stun.header import DecodeError, Method
from fairlead.stun.message import decode


def some(kind: Kind) -> list[bytes]:
    return list(itertools.islice(packets(kind), 32))


def test_noise_is_nothing_that_a_server_could_read() -> None:
    for packet in some(Kind.NOISE):
        with pytest.raises(DecodeError):
            decode(packet)


@pytest.mark.parametrize(
    ("kind", "method", "signed"),
    [
        (Kind.BINDING, Method.BINDING, False),
        (Kind.ALLOCATE, Method.ALLOCATE, False),
        (Kind.FORGED, Method.ALLOCATE, True),
    ],
)
def test_requests_are_well_formed(kind: Kind, method: Method, signed: bool) -> None:
    for packet in some(kind):
        message = decode(packet)
        assert (message.method, message.has(MESSAGE_INTEGRITY)) == (method, signed)


def test_it_comes_from_many_sources_and_in_the_number_that_is_said() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        sent, took = flood(Address(*server.getsockname()), list(Kind), rate=1000, seconds=0.1, sources=20)
        sources = set()
        for _ in range(sent):
            assert select.select([server], [], [], 20)[0]
            sources.add(server.recvfrom(2048)[1][0])
    assert sent == 100
    assert took >= 0.1
    assert len(sources) == 20
    assert all(source.startswith("127.64.") for source in sources)
