"""A short measurement from end to end."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.house import ROOT

pytestmark = [pytest.mark.requires("gcc"), pytest.mark.requires("turnserver")]


def test_turnd_is_measured_beside_coturn(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    servers = ["--vs", "coturn", "--engine", "python", "floor"]
    command = [sys.executable, "-m", "bench", "relay", *servers, "--json", str(file)]
    short = ["--allocations", "1", "5", "--rounds", "2", "--seconds", "0.3", "--window", "16"]
    run = subprocess.run([*command, *short], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    generator, *rows = json.loads(file.read_text())
    assert generator["case"] == "generator"
    assert generator["packets_per_second"] > 0
    assert [(row["allocations"], row["engine"], row["peer"]) for row in rows] == [
        (number, server, "coturn") for number in (1, 5) for server in ("coturn", "python", "floor")
    ]
    for row in rows:
        assert row["case"] == "interleaved"
        assert row["loss"] <= 0.001
        assert row["delivered"] > 0
        assert row["ratio"] > 0
