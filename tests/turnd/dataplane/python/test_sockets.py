import errno
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from fairlead.datagram import Address
from turnd.dataplane.python.sockets import open_socket, send_unfragmented
from turnd.dataplane.python.switchboard import socket_address

_IP_MTU_DISCOVER = 10


@pytest.fixture
def ipv4() -> Iterator[socket.socket]:
    with closing(open_socket(Address("127.0.0.1", 0), 0, 0)) as opened:
        yield opened


def test_a_socket_is_bound_and_never_waits(ipv4: socket.socket) -> None:
    assert ipv4.getsockname()[0] == "127.0.0.1"
    assert ipv4.getsockname()[1] > 0
    with pytest.raises(BlockingIOError):
        ipv4.recv(10)


def test_a_socket_of_ipv6_leaves_ipv4_alone() -> None:
    with closing(open_socket(Address("::", 0), 0, 0)) as wide:
        port = wide.getsockname()[1]
        with closing(open_socket(Address("0.0.0.0", port), 0, 0)) as other:
            assert other.getsockname()[1] == port


def test_buffers_are_as_asked_for() -> None:
    with closing(open_socket(Address("127.0.0.1", 0), 10_000, 20_000)) as opened:
        # The kernel doubles what it is asked for.
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 20_000
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 40_000


def test_what_cannot_be_bound_leaves_no_socket(ipv4: socket.socket) -> None:
    taken = Address(*ipv4.getsockname())
    with pytest.raises(OSError, match="in use") as caught:
        open_socket(taken, 0, 0)
    assert caught.value.errno == errno.EADDRINUSE


def test_df_is_for_one_packet_alone(ipv4: socket.socket) -> None:
    with closing(open_socket(Address("127.0.0.1", 0), 0, 0)) as receiver:
        before = ipv4.getsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER)
        send_unfragmented(ipv4, b"data", receiver.getsockname())
        assert receiver.recv(10) == b"data"
        assert ipv4.getsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER) == before
        with pytest.raises(OSError, match="too long"):
            send_unfragmented(ipv4, bytes(70_000), socket_address(Address(*receiver.getsockname())))
        assert ipv4.getsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER) == before
