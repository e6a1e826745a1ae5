"""A small flood beside a few calls, in which nothing may be lost however slow the machine is: all of it has room in the
buffers of the sockets, as large as a kernel gives them that was told nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fairlead.native import EngineChoice, EngineMissingError, is_native
from tests.architecture.house import ROOT
from tests.skipping import skip_for_lack_of


@pytest.mark.parametrize("engine", ["python", "native"])
def test_calls_go_on_and_newcomers_are_served(engine: str, tmp_path: Path) -> None:
    try:
        is_native(EngineChoice(engine))
    except EngineMissingError as missing:
        skip_for_lack_of(f"the engine {engine}", enable=missing.remedy)
    file = tmp_path / "rows.json"
    command = [sys.executable, "-m", "bench", "flood", "--engine", engine, "--json", str(file)]
    short = ["--rate", "150", "--sources", "100", "--calls", "2", "--seconds", "1"]
    run = subprocess.run([*command, *short], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    (row,) = json.loads(file.read_text())
    assert (row["engine"], row["calls"]) == (engine, 2)
    assert row["flood_pps"] > 0
    assert row["packets"] == 2 * 2 * 50, "each way"
    assert row["loss"] == 0
    assert row["allocates"] > 0
