"""The generator on real sockets, against an echo that loses nothing and against nobody."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from bench.cases import Direction
from bench.generator import Flow, Load, generate, start_echo
from bench.results import Round
from fairlead.datagram import Address

pytestmark = pytest.mark.requires("gcc")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def udp_socket(stack: ExitStack) -> socket.socket:
    opened = stack.enter_context(closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
    opened.bind(("127.0.0.1", 0))
    return opened


def run(
    stack: ExitStack, relay: Address, clients: int, seconds: float, prefix: bytes = b"", rate: float = 0.0
) -> Round:
    flows = []
    for _ in range(clients):
        client = udp_socket(stack)
        client.connect(relay)
        flows.append(Flow(client, relay, prefix, len(prefix)))
    return generate(Load(flows, None, Direction.BOTH, 172, 16, 0.05, seconds, 1, rate), os.getpid(), (), None)


@pytest.mark.parametrize("clients", [1, 10])
def test_what_an_echo_returns_is_delivered(stack: ExitStack, clients: int) -> None:
    echo = udp_socket(stack)
    process = start_echo(echo, None)
    stack.callback(process.wait)
    stack.callback(process.kill)
    # So short that nothing is given up: what is under way for half a second counts as lost.
    began = time.monotonic()
    counted = run(stack, Address(*echo.getsockname()), clients, 0.4, prefix=b"head")
    took = time.monotonic() - began
    assert counted.delivered_to_client > 16, "more than the window: what comes back makes room"
    assert abs(counted.sent - counted.delivered_to_client) <= 16
    assert counted.lost == counted.strange == counted.delivered_to_peer == 0
    assert 0.4 <= counted.seconds < took
    assert counted.generator_cpu_ns > 0


def test_what_nobody_returns_is_lost(stack: ExitStack) -> None:
    silent = udp_socket(stack)
    counted = run(stack, Address(*silent.getsockname()), 4, 1.5)
    assert counted.delivered == 0
    assert counted.lost >= 16
    assert not counted.is_valid


def test_at_a_rate_each_round_trip_is_timed(stack: ExitStack) -> None:
    echo = udp_socket(stack)
    process = start_echo(echo, None)
    stack.callback(process.wait)
    stack.callback(process.kill)
    counted = run(stack, Address(*echo.getsockname()), 3, 0.6, rate=500)
    assert 10 <= counted.sent <= 500
    median, most_of_90, most_of_99 = counted.round_trip_us
    assert 1 < median <= most_of_90 <= most_of_99
    assert counted.device_cpu_ns == 0
