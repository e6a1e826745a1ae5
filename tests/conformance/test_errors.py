"""What goes wrong outside ends nothing: ICMP errors, unreachable hosts, paths that are too narrow."""

import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead.datagram import Address, Datagram, FiveTuple, Transport, Via
from fairlead.native import EngineChoice
from fairlead.reasons import Reason
from tests.conformance.conftest import ENGINES
from tests.conformance.kit import IPV4, IPV6, NUMBER, Rig, channel_data, engine_or_skip, plain_send
from tests.skipping import Lacking, skip_for_lack_of
from turnd.dataplane.contract import EngineSettings, Io

#: The kernel knows no way there: not from a loopback address, and not to IPv4 from a socket of IPv6 alone.
ELSEWHERE = {IPV4: "192.0.2.1", IPV6: "::ffff:192.0.2.1"}


def test_a_peer_that_has_closed_its_port_is_no_matter(rig: Rig) -> None:
    """Its host answers with ICMP port unreachable; the relay socket and its other peers go on."""
    client, relay, gone = rig.call()
    other = rig.peer()
    rig.close(gone)
    for _ in range(5):
        client.say(channel_data(b"to nobody"))
        client.say(plain_send(gone.address, b"to nobody"))
        client.say(plain_send(other.address, b"up"))
        assert other.receive() == (b"up", relay.address)
        other.send(b"down", relay.address)
        assert client.receive()[0][:2] == b"\0\x17"
    assert not rig.all_dropped()
    successor = rig.peer(port=gone.address.port)
    client.say(channel_data(b"up"))
    assert successor.receive() == (b"up", relay.address)


def test_a_client_that_has_closed_its_port_is_no_matter(rig: Rig) -> None:
    gone, relay, peer = rig.call()
    client, other_relay, other_peer = rig.call()
    rig.close(gone)
    for _ in range(5):
        peer.send(b"to nobody", relay.address)
        client.say(channel_data(b"up"))
        assert other_peer.receive() == (b"up", other_relay.address)
        other_peer.send(b"down", other_relay.address)
        assert client.receive() == (channel_data(b"down"), rig.listener)
    assert not rig.all_dropped()


def test_a_peer_that_cannot_be_reached_is_counted_and_no_matter(rig: Rig) -> None:
    client, relay, peer = rig.call()
    elsewhere = Address(ELSEWHERE[rig.host], 9)
    relay.permit(elsewhere.host)
    relay.bind(NUMBER + 1, elsewhere)
    client.say(channel_data(b"up", NUMBER + 1))
    rig.expect_dropped(Reason.UNREACHABLE, 1)
    client.say(plain_send(elsewhere, b"up"))
    rig.expect_dropped(Reason.UNREACHABLE, 2)
    rig.engine.send_from_relay(relay.number, elsewhere, b"up", True)
    rig.expect_dropped(Reason.UNREACHABLE, 3)
    client.say(channel_data(b"up"))
    assert peer.receive() == (b"up", relay.address)


def test_data_of_a_stream_that_no_datagram_can_hold_is_counted_and_no_matter(rig: Rig) -> None:
    """ChannelData may be longer than what IP can carry behind its own headers (EMSGSIZE)."""
    stream, via = FiveTuple(Transport.TCP, Address(rig.host, 40000), Address(rig.host, 3478)), Via(70, 7)
    relay, peer = rig.relay(stream, via), rig.peer()
    relay.permit(peer.address.host)
    relay.bind(NUMBER, peer.address)
    assert not rig.engine.deliver(Datagram(channel_data(bytes(65535)), stream, via))
    rig.expect_dropped(Reason.TOO_LARGE)
    assert not rig.engine.deliver(Datagram(channel_data(b"up"), stream, via))
    assert peer.receive() == (b"up", relay.address)


@pytest.mark.parametrize("engine", [name for name, (_, threads, _) in ENGINES.items() if threads == 1])
@pytest.mark.parametrize("host", [IPV4, IPV6])
def test_a_path_that_is_too_narrow(engine: str, host: str) -> None:
    """In a network of its own whose loopback has an MTU of 1280: fragmented, or dropped where that is asked for."""
    choice, threads, io = ENGINES[engine]
    engine_or_skip(choice, EngineSettings(threads=threads, io=io)).close()
    script = Path(__file__).with_name("narrow_path.py")
    run = subprocess.run(
        ["unshare", "--map-root-user", "--net", sys.executable, "-m", f"tests.conformance.{script.stem}", engine, host],
        cwd=script.parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in run.stderr:
        skip_for_lack_of(f"a network namespace ({run.stderr.strip()})", enable="run the tests as root")
    assert run.returncode == 0, run.stderr


def test_a_machine_that_refuses_io_uring_is_told_of_by_a_skip() -> None:
    """Cases that were not collected would be missed by nobody."""
    engine_or_skip(EngineChoice.NATIVE, EngineSettings()).close()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as highest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest.fileno(), before[1]))
    try:
        with pytest.raises(Lacking, match="io_uring") as skip:
            engine_or_skip(EngineChoice.NATIVE, EngineSettings(io=Io.IO_URING))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert "kernel.io_uring_disabled=0" in skip.value.enable
