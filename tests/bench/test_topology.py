"""Three hosts that are made, used and gone."""

import os
import socket
import subprocess
import sys

import pytest

from bench.topology import Cores, Loopback, Namespaces, TopologyError
from tests.skipping import skip_for_lack_of


def bound(host: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.settimeout(5)
    try:
        opened.bind((host, 0))
    except OSError:
        opened.close()
        raise
    return opened


def test_generator_and_relay_never_share_a_core_when_there_are_two() -> None:
    cores = Cores.choose()
    assert cores == (None, None) or cores.generator != cores.relay


def test_on_the_loopback_everybody_is_here() -> None:
    topology = Loopback()
    with topology.client(), topology.relay(), topology.peer():
        bound(topology.listen_host).close()
    topology.close()
    assert topology.device_threads == ()


@pytest.mark.requires("ip")
def test_namespaces_are_hosts_whose_packets_cross_devices() -> None:
    if os.geteuid():
        skip_for_lack_of("the right to make network namespaces", enable="sudo make test")
    cores = Cores.choose()
    topology = Namespaces(cores)
    names = [f"bench-{host}-{os.getpid()}" for host in ("client", "relay", "peer")]
    try:
        with topology.client():
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with topology.relay():
            listener, relayed = bound(topology.listen_host), bound(topology.relay_host)
        with topology.peer():
            peer = bound(topology.peer_host)
        client.sendto(b"to the relay", listener.getsockname())
        data, source = listener.recvfrom(100)
        assert (data, source[0]) == (b"to the relay", "198.18.1.2")
        relayed.sendto(data, peer.getsockname())
        assert peer.recvfrom(100) == (b"to the relay", relayed.getsockname())
        assert len(topology.device_threads) == 2
        for thread in topology.device_threads:
            assert cores.relay is None or os.sched_getaffinity(thread) == {cores.relay}
        with pytest.raises(OSError, match="assign"):
            bound(topology.peer_host)
        for each in (client, listener, relayed, peer):
            each.close()
    finally:
        topology.close()
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert not [name for name in names if name in left]


@pytest.mark.requires("ip")
def test_what_a_killed_run_has_left_is_nobody_elses() -> None:
    if os.geteuid():
        skip_for_lack_of("the right to make network namespaces", enable="sudo make test")
    script = "import os; from bench.topology import *; Namespaces(Cores.choose()); print(os.getpid(), flush=True)"
    command = [sys.executable, "-c", f"{script}; os._exit(1)"]
    killed = subprocess.run(command, capture_output=True, text=True, check=False)
    topology = Namespaces(Cores.choose())
    topology.close()
    for host in ("client", "relay", "peer"):
        subprocess.run(["ip", "netns", "del", f"bench-{host}-{killed.stdout.strip()}"], check=True)
    assert len(topology.device_threads) == 2


def test_without_its_tool_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(TopologyError, match="iproute2"):
        Namespaces(Cores(None, None))
