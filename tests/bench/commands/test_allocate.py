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
    command = [sys.executable, "-m", "bench", "allocate", "--vs", "coturn", "--json", str(file)]
    short = ["--rounds", "1", "--count", "50", "--warm-up", "5"]
    run = subprocess.run([*command, *short], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    theirs, row = json.loads(file.read_text())
    assert (theirs["engine"], theirs["ratio"]) == ("coturn", 1.0)
    assert (row["case"], row["engine"], row["peer"], row["allocations"]) == ("allocate", "python", "coturn", 50)
    assert row["ratio"] > 0
