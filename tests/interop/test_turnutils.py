"""Debian's coturn client: its own command lines, each to its totals. It talks to turnutils_peer through turnd."""

import contextlib
import re
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from fairlead.datagram import Transport
from tests.certificates import self_signed
from tests.loopback import quiet_port
from tests.processes import SECRET, Daemon, Daemons, relay_on_loopback, wait_for

pytestmark = [pytest.mark.requires("turnutils_uclient"), pytest.mark.requires("turnutils_peer")]

#: Seconds for a line; the tool waits for ever where it has no answer.
_DEADLINE = "60"
_SECRET = ("-W", SECRET)


class Line(NamedTuple):
    """A command line: the listener that it is for, its options, and how it proves itself."""

    transport: Transport
    options: str
    credentials: tuple[str, str] = _SECRET


class Run(NamedTuple):
    """What became of a line."""

    code: int
    text: str

    def total(self, what: str) -> int:
        """The last figure of this name that the tool has printed."""
        return int(re.findall(rf"start_mclient: .*\btot_{what} ?[~=] ?(\d+)", self.text)[-1])


#: Lines that pass, with the bytes that each sends and wants back; -X -g is a pair of ports, not to be fragmented.
PASSING = {
    Line(Transport.UDP, "-X -g"): 1000,
    Line(Transport.UDP, "-c"): 500,
    Line(Transport.UDP, "-s -c"): 500,
    Line(Transport.TCP, "-t -X -g"): 1000,
    Line(Transport.TLS, "-t -S -X -g"): 1000,
}
#: From client to client, through two relayed addresses of ours.
BETWEEN_CLIENTS = Line(Transport.UDP, "-y -c")
#: Permissions and channels for further peers. The tool tosses a coin between IPv4 and IPv6 ones, which an IPv4
#: allocation cannot have; of 20 clients one in half a million runs asks for none of these.
FURTHER_PEERS = Line(Transport.UDP, "-G -c -m 20")
#: A second channel for a peer that has one.
SECOND_CHANNEL = Line(Transport.UDP, "-N -c")
WRONG_PASSWORD = Line(Transport.UDP, "-c", ("-w", "wrong"))

LINES = (*PASSING, BETWEEN_CLIENTS, FURTHER_PEERS, SECOND_CHANNEL, WRONG_PASSWORD)


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemons]:
    with contextlib.closing(Daemons(tmp_path_factory.mktemp("turnutils"))) as started:
        yield started


@pytest.fixture(scope="module")
def turnd(daemons: Daemons, tmp_path_factory: pytest.TempPathFactory) -> Daemon:
    tls = {name: str(path) for name, path in self_signed(tmp_path_factory.mktemp("tls"))._asdict().items()}
    return daemons.turnd(relay_on_loopback(peers={"allow": ["loopback"]}) | {"tls": tls})


@pytest.fixture(scope="module")
def turnd_of_further_peers(daemons: Daemons) -> Daemon:
    """One for FURTHER_PEERS alone, so that what it refused is known."""
    return daemons.turnd(relay_on_loopback(peers={"allow": ["loopback"]}))


@pytest.fixture(scope="module")
def peer_port() -> Iterator[int]:
    """The lower port of a running turnutils_peer, which echoes on two."""
    port = quiet_port(socket.SOCK_DGRAM)
    peer = subprocess.Popen(["turnutils_peer", "-L", "127.0.0.1", "-p", str(port)], stdout=subprocess.DEVNULL)
    try:
        for each in (port, port + 1):
            wait_for("turnutils_peer", partial(_echoes, each))
        yield port
    finally:
        peer.terminate()
        peer.wait()


@pytest.fixture(scope="module")
def runs(
    turnd: Daemon, turnd_of_further_peers: Daemon, peer_port: int, tmp_path_factory: pytest.TempPathFactory
) -> dict[Line, Run]:
    """All lines at once: each of them mostly waits."""
    folder = tmp_path_factory.mktemp("lines")
    servers = [turnd_of_further_peers if line is FURTHER_PEERS else turnd for line in LINES]
    running = [
        (line, _start(line, server, peer_port, folder / str(number)))
        for number, (line, server) in enumerate(zip(LINES, servers, strict=True))
    ]
    codes = [process.wait() for _, process in running]
    return {
        line: Run(code, (folder / str(number)).read_text())
        for number, (line, code) in enumerate(zip(LINES, codes, strict=True))
    }


def _start(line: Line, turnd: Daemon, peer_port: int, output: Path) -> "subprocess.Popen[bytes]":
    server = turnd.address(line.transport)
    command = ["timeout", _DEADLINE, "turnutils_uclient", "-p", str(server.port), *line.options.split()]
    command += ["-e", "127.0.0.1", "-r", str(peer_port), "-u", "user", *line.credentials, server.host]
    with output.open("wb") as file:
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)


def _echoes(port: int) -> bool | None:
    with socket.socket(type=socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.settimeout(0.2)
        probe.connect(("127.0.0.1", port))
        probe.send(b"there?")
        return probe.recv(16) == b"there?"
    return None


@pytest.mark.parametrize("line", PASSING, ids=lambda line: f"{line.transport} {line.options}")
def test_a_line_gets_back_all_that_it_sends(runs: dict[Line, Run], line: Line) -> None:
    run = runs[line]
    assert run.code == 0, run.text
    assert run.total("send_bytes") == PASSING[line]
    assert run.total("recv_bytes") == PASSING[line]
    assert "Total lost packets 0 (0.000000%), total send dropped 0" in run.text


def test_two_clients_reach_each_other_through_two_relayed_addresses(runs: dict[Line, Run]) -> None:
    run = runs[BETWEEN_CLIENTS]
    assert run.code == 0, run.text
    assert run.total("send_msgs") > 0
    assert run.total("recv_msgs") == run.total("send_msgs")
    assert run.total("recv_bytes") == run.total("send_bytes")


def test_peers_of_the_other_family_are_refused_and_the_right_ones_served(
    runs: dict[Line, Run], turnd_of_further_peers: Daemon
) -> None:
    run = runs[FURTHER_PEERS]
    assert run.code == 0, run.text
    assert run.total("recv_bytes") == 20 * 500
    codes = re.findall(r": error (\d+)", run.text)
    assert codes
    # It draws channel numbers at random, now and then one that is bound to another peer already: nothing else is a 400.
    drawn_twice = run.text.count("channel bind: error 400")
    assert drawn_twice == codes.count("400") < len(codes) / 10
    assert set(codes) <= {"443", "403", "400"}
    requests = turnd_of_further_peers.metrics()
    refused = requests.sum("turnd_requests_total", code="400")
    assert requests.sum("turnd_requests_total", code="400", method="channel_bind") == refused >= drawn_twice
    for record in turnd_of_further_peers.records("refused 400"):
        assert "is bound to another peer" in record["why"]


def test_a_peer_has_one_channel(runs: dict[Line, Run]) -> None:
    run = runs[SECOND_CHANNEL]
    assert "channel bind: error 400 (Bad Request)" in run.text
    assert run.code != 0


def test_a_wrong_password_gets_no_allocation(runs: dict[Line, Run], turnd: Daemon) -> None:
    """The tool tries it 32 times within 20 ms; neither the others nor the log suffer from that."""
    run = runs[WRONG_PASSWORD]
    assert run.code != 0
    assert "Cannot complete Allocation" in run.text
    lines = turnd.records("not authenticated")
    assert [(line["user"], line["failure"]) for line in lines] == [("user", "bad_integrity")]


def test_nothing_else_was_refused(runs: dict[Line, Run], turnd: Daemon) -> None:
    codes = turnd.metrics().by("turnd_requests_total", "code")
    assert set(codes) <= {"success", "401", "443", "403", "400"}, [run.text for run in runs.values()]
