"""TCP and TLS clients that turnd bears with, and those with whom it does not."""

import contextlib
import itertools
import socket
import ssl
import time
from pathlib import Path

import pytest

from fairlead.datagram import Transport
from tests.certificates import self_signed
from tests.processes import Configuration, Daemons, relay_on_loopback, wait_for
from tests.turn_client import Sockets, TurnClient

_CHANNEL = 0x4000
_DEADLINE = 2.0
#: How late a deadline may be kept on a machine with other work to do; the one that nobody configured is later still.
_LATENESS = 7.0

#: A TLS record that says it is long, and nothing of what it holds.
_HELLO_WITHOUT_END = b"\x16\x03\x01\x02\x00"
_BINDING = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)


@pytest.fixture
def with_tls(tmp_path: Path) -> Configuration:
    tls = {name: str(path) for name, path in self_signed(tmp_path)._asdict().items()}
    return relay_on_loopback(streams={"deadline": _DEADLINE}) | {"tls": tls}


def test_who_does_not_read_is_not_waited_for(daemons: Daemons, sockets: Sockets) -> None:
    """What is too much for a client is dropped, the newest first and whole messages only; others are served
    meanwhile."""
    turnd = daemons.turnd(peers={"allow": ["loopback"]})
    slow, quick, peer = sockets.client(turnd, Transport.TCP), sockets.client(turnd), sockets.peer()
    relayed, beside = slow.allocated(), quick.allocated()
    for client in (slow, quick):
        assert client.bind(_CHANNEL, peer.address).code == 0
    before, numbered = turnd.resident_memory(), itertools.count()

    def flood() -> bool | None:
        for number in itertools.islice(numbered, 1000):
            peer.send(number.to_bytes(4) * 300, relayed)
        quick.send(_CHANNEL, b"are you there?")
        assert peer.receive() == (b"are you there?", beside)
        return turnd.metrics().sum("turnd_dropped_total", reason="send_buffer") > 3000 or None

    wait_for("what a slow reader does not get", flood)
    assert turnd.resident_memory() - before < 4 << 20

    def counted() -> tuple[int, int]:
        metrics = turnd.metrics()
        dropped = metrics.sum("turnd_dropped_total", reason="send_buffer")
        return metrics.sum("turnd_relay_packets_total", direction="to_client"), dropped

    def rest() -> tuple[int, int] | None:
        """What has been counted, when no turn changes it any more: a request takes one of each thread."""
        before = counted()
        assert quick.refresh().code == 0
        return before if counted() == before else None

    passed, spared = wait_for("the end of the flood", rest)
    read = [slow.receive() for _ in range(passed - spared)]
    numbers = [int.from_bytes(data[:4]) for _, data in read]
    assert numbers == sorted(set(numbers))
    assert read == [(_CHANNEL, number.to_bytes(4) * 300) for number in numbers]
    peer.send(b"still there?", relayed)
    assert slow.receive() == (_CHANNEL, b"still there?")


def test_who_proves_nothing_is_gone_at_the_deadline(
    daemons: Daemons, sockets: Sockets, with_tls: Configuration
) -> None:
    """Whatever it says meanwhile; whoever has an allocation stays."""
    turnd = daemons.turnd(with_tls)
    tcp, tls = turnd.address(Transport.TCP), turnd.address(Transport.TLS)
    customer = sockets.client(turnd, Transport.TCP)
    customer.allocated()
    began = time.monotonic()
    idle = {
        "silent": (sockets.connect(tcp, Transport.TCP), b""),
        "silent on the TLS port": (sockets.connect(tls, Transport.TCP), b""),
        "in a handshake": (sockets.connect(tls, Transport.TCP), _HELLO_WITHOUT_END),
        "in a message": (sockets.connect(tcp, Transport.TCP), _BINDING[:7]),
        "asking Bindings": (sockets.connect(tcp, Transport.TCP), _BINDING),
        "through TLS": (sockets.connect(tls, Transport.TLS), _BINDING),
    }
    for connection, said in idle.values():
        connection.sendall(said)
    for name, (connection, _) in idle.items():
        _read_to_the_end(connection)
        lasted = time.monotonic() - began
        assert lasted > _DEADLINE - 0.1, name
        assert lasted < _DEADLINE + _LATENESS, name
    assert customer.refresh().code == 0
    metrics = turnd.metrics()
    assert metrics.sum("turnd_connections") == 1
    assert metrics.sum("turnd_half_open_connections") == 0
    # Who gives up its allocation has to make another one in time.
    assert customer.refresh(0).code == 0
    assert _read_to_the_end(customer.socket) == b""
    assert turnd.metrics().sum("turnd_connections_expired_total") >= len(idle)


def test_one_source_has_so_many_connections_half_open(daemons: Daemons, sockets: Sockets) -> None:
    turnd = daemons.turnd(streams={"half_open_per_source": 3})
    customers = [sockets.client(turnd, Transport.TCP) for _ in range(3)]
    for customer in customers:
        customer.allocated()
    waiting = [sockets.connect(turnd.address(Transport.TCP), Transport.TCP) for _ in range(3)]
    assert _read_to_the_end(sockets.connect(turnd.address(Transport.TCP), Transport.TCP)) == b""
    elsewhere = sockets.client(turnd, Transport.TCP, source="127.0.0.2")
    assert elsewhere.allocate().code == 0
    assert TurnClient(waiting[0]).allocate().code == 0
    assert turnd.metrics().by("turnd_connections_refused_total", "reason") == {"half_open_per_source": 1}


def test_tls_is_spoken_on_the_port_for_tcp(daemons: Daemons, sockets: Sockets, with_tls: Configuration) -> None:
    turnd = daemons.turnd(with_tls)
    context = ssl.create_default_context(cafile=with_tls["tls"]["certificate"])
    context.set_alpn_protocols(["stun.turn"])
    plain = sockets.connect(turnd.address(Transport.TCP), Transport.TCP)
    secure = sockets.keep(context.wrap_socket(plain, server_hostname="127.0.0.1"))
    assert TurnClient(secure).allocate().code == 0
    assert secure.selected_alpn_protocol() == "stun.turn"
    assert turnd.metrics().sum("turnd_allocations", transport="tls") == 1
    assert turnd.metrics().sum("turnd_allocations", transport="tcp") == 0


def test_nothing_else_is_spoken_on_the_port_for_tls(
    daemons: Daemons, sockets: Sockets, with_tls: Configuration
) -> None:
    turnd = daemons.turnd(with_tls)
    plain = sockets.connect(turnd.address(Transport.TLS), Transport.TCP)
    plain.sendall(_BINDING)
    assert _read_to_the_end(plain) == b""


def _read_to_the_end(connection: socket.socket) -> bytes:
    """Everything until the server hangs up, orderly or not."""
    found = b""
    with contextlib.suppress(ConnectionResetError):
        while received := connection.recv(4096):
            found += received
    return found
