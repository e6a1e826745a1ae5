import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from fairlead.datagram import Address
from fairlead.port_holders import port_holder
from tests.loopback import require_ipv6

HOLD = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 0))
print(sock.getsockname()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other_process() -> Iterator[tuple[int, int]]:
    """The pid and the UDP port of another process."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, "--secret=s3cr3t"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.pid, int(process.stdout.readline())
        process.communicate()


def test_another_process_is_named_and_what_it_was_told_is_not(other_process: tuple[int, int]) -> None:
    pid, port = other_process
    holder = port_holder(False, Address("127.0.0.1", port))
    assert holder is not None
    assert holder.pid == pid
    assert holder.command.startswith("python")
    assert "s3cr3t" not in str(holder)


def test_a_wildcard_is_in_the_way_of_every_address_and_the_other_way_round(other_process: tuple[int, int]) -> None:
    _, port = other_process
    assert port_holder(False, Address("0.0.0.0", port)) is not None
    assert port_holder(False, Address("127.0.0.2", port)) is None


def test_udp_and_tcp_are_different_ports(other_process: tuple[int, int]) -> None:
    assert port_holder(True, Address("127.0.0.1", other_process[1])) is None


def test_our_own_listening_socket_over_ipv6() -> None:
    require_ipv6()
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
        sock.bind(("::1", 0))
        address = Address(*sock.getsockname()[:2])
        assert port_holder(True, address) is None, "bound, but not listening: it is in nobody's way"
        sock.listen()
        holder = port_holder(True, address)
        assert holder is not None
        assert str(holder) == f"this process itself (pid {os.getpid()})"


def test_a_module_that_python_runs_is_named_by_its_name() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().split("port ")[1].split()[0])
        assert port_holder(True, Address("127.0.0.1", port)) == (process.pid, "http.server")
        process.kill()
