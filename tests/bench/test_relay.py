"""The pieces of a measurement, and a short one from end to end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.relay import Cores, send_prefix
from fairlead.datagram import Address
from fairlead.stun.attributes import DATA, XOR_PEER_ADDRESS
from fairlead.stun.message import decode
from tests.architecture.house import ROOT


def test_a_prefix_makes_a_send_indication_of_a_payload() -> None:
    peer = Address("127.0.0.1", 4000)
    message = decode(send_prefix(peer, 172) + b"\x5a" * 172)
    assert message.first(XOR_PEER_ADDRESS) == peer
    assert message.first(DATA) == b"\x5a" * 172


def test_generator_and_relay_never_share_a_core_when_there_are_two() -> None:
    cores = Cores.choose()
    assert cores == (None, None) or cores.generator != cores.relay


@pytest.mark.requires("gcc")
@pytest.mark.requires("turnserver")
def test_turnd_is_measured_beside_coturn(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    command = [sys.executable, "-m", "bench", "relay", "--vs", "coturn", "--json", str(file)]
    short = ["--allocations", "1", "5", "--rounds", "1", "--seconds", "0.3", "--window", "16"]
    run = subprocess.run([*command, *short], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    rows = json.loads(file.read_text())
    assert [(row["allocations"], row["engine"], row["peer"]) for row in rows] == [
        (1, "python", "coturn"),
        (5, "python", "coturn"),
    ]
    for row in rows:
        assert row["loss"] <= 0.001
        assert row["delivered"] > 1000
        assert row["ratio"] > 0
