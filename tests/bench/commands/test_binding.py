import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.house import ROOT


@pytest.mark.requires("turnserver")
def test_stund_is_measured_beside_coturn(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    command = [sys.executable, "-m", "bench", "binding", "--engine", "python", "--json", str(file)]
    short = ["--rounds", "1", "--count", "200"]
    run = subprocess.run([*command, *short], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    theirs, ours = json.loads(file.read_text())
    assert (theirs["engine"], theirs["ratio"], theirs["answered"]) == ("coturn", 1.0, 200)
    assert (ours["engine"], ours["answered"], ours["lost"]) == ("python", 200, 0)
    assert ours["cpu_us_per_binding"] > 0
