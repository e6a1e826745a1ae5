import errno
import socket
from collections.abc import Callable, Iterator

import pytest

from fairlead.datagram import Address
from fairlead.reasons import Reason
from fairlead.stun.header import DecodeError
from fairlead.udp import UdpSocket, address_of, is_wildcard, socket_name
from tests.loopback import require_ipv6

Make = Callable[..., UdpSocket]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[UdpSocket] = []

    def bound(host: str, **options: int) -> UdpSocket:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((host, 0))
        made.append(UdpSocket(sock, **options))
        return made[-1]

    yield bound
    for sock in made:
        sock.close()


@pytest.mark.parametrize(
    ("bound", "asked"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("0.0.0.0", "127.0.0.2"), ("::1", "::1"), ("::", "::1")],
)
def test_the_answer_leaves_from_the_address_that_was_asked(make: Make, bound: str, asked: str) -> None:
    if ":" in asked:
        require_ipv6()
    server, client = make(bound), make("::1" if ":" in asked else "127.0.0.1")
    target = Address(asked, server.address.port)
    assert client.send(b"request", target, client.address) is None
    received = server.receive()
    assert received == (b"request", client.address, target)
    assert server.send(b"reply", received.source, received.local) is None
    answer = client.receive()
    assert answer is not None
    assert (answer.data, answer.source) == (b"reply", target)


def test_the_second_datagram_from_an_address_finds_it_remembered(make: Make) -> None:
    server, client = make("0.0.0.0"), make("127.0.0.1")
    for host in ("127.0.0.2", "127.0.0.3", "127.0.0.2"):
        client.send(b"x", Address(host, server.address.port), client.address)
        received = server.receive()
        assert received is not None
        assert received.local == (host, server.address.port)


def test_more_addresses_than_are_remembered(make: Make) -> None:
    server, client = make("0.0.0.0"), make("127.0.0.1")
    for number in range(600):
        host = f"127.1.{number >> 8}.{number & 255}"
        client.send(b"x", Address(host, server.address.port), client.address)
        received = server.receive()
        assert received is not None
        assert received.local.host == host


def test_nothing_there_is_none(make: Make) -> None:
    assert make("127.0.0.1").receive() is None


def test_a_datagram_without_bytes_is_one(make: Make) -> None:
    server, client = make("127.0.0.1"), make("127.0.0.1")
    client.send(b"", server.address, client.address)
    received = server.receive()
    assert received is not None
    assert received.data == b""


def test_what_is_longer_than_taken_is_refused_and_the_next_is_not(make: Make) -> None:
    server, client = make("127.0.0.1", largest=100), make("127.0.0.1")
    for size in (100, 101, 20):
        client.send(bytes(size), server.address, client.address)
    first = server.receive()
    assert first is not None
    assert len(first.data) == 100
    with pytest.raises(DecodeError) as caught:
        server.receive()
    assert caught.value.reason is Reason.TOO_LARGE
    third = server.receive()
    assert third is not None
    assert len(third.data) == 20


def test_the_largest_datagram_passes(make: Make) -> None:
    server, client = make("0.0.0.0"), make("127.0.0.1")
    assert client.send(bytes(65507), Address("127.0.0.1", server.address.port), client.address) is None
    received = server.receive()
    assert received is not None
    assert len(received.data) == 65507


def test_what_the_kernel_does_not_take_has_a_reason(make: Make) -> None:
    sock = make("127.0.0.1")
    assert sock.send(bytes(70000), sock.address, sock.address) is Reason.TOO_LARGE
    assert sock.send(b"x", Address("255.255.255.255", 9), sock.address) is Reason.UNREACHABLE


def test_a_full_send_buffer_is_told_from_the_rest(make: Make) -> None:
    class Full:
        """A socket at the edge: the kernel's refusal cannot be had on demand over loopback."""

        def getsockname(self) -> tuple[str, int]:
            return "127.0.0.1", 1

        def setblocking(self, flag: bool) -> None:
            pass

        def sendto(self, data: bytes, name: tuple[str, int]) -> int:
            raise OSError(errno.ENOBUFS, "No buffer space available")

    sock = UdpSocket(Full())  # type: ignore[arg-type]  # as much of a socket as is used
    assert sock.send(b"x", sock.address, sock.address) is Reason.SEND_BUFFER


def test_the_kernel_says_what_waits_and_what_was_dropped(make: Make) -> None:
    server, client = make("127.0.0.1"), make("127.0.0.1")
    assert server.memory() == (0, 0)
    client.send(bytes(1000), server.address, client.address)
    assert server.memory().queued >= 1000
    while server.memory().dropped == 0:
        client.send(bytes(1000), server.address, client.address)
    assert server.memory().queued > 10_000


def test_names_of_sockets_keep_the_zone() -> None:
    assert address_of(("fe80::1", 5, 0, 2)) == ("fe80::1%2", 5)
    assert socket_name(Address("fe80::1%2", 5)) == ("fe80::1", 5, 0, 2)
    assert socket_name(Address("fe80::1%lo", 5)) == ("fe80::1", 5, 0, socket.if_nametoindex("lo"))
    assert address_of(("::1", 5, 0, 0)) == ("::1", 5)
    assert socket_name(Address("192.0.2.1", 5)) == ("192.0.2.1", 5)
    with pytest.raises(OSError):
        socket_name(Address("fe80::1%none", 5))


def test_wildcards() -> None:
    assert is_wildcard("0.0.0.0")
    assert is_wildcard("::")
    assert not is_wildcard("127.0.0.1")
