"""A soak of seconds; the long one is `python -m bench soak --packets 1e8`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fairlead.native import EngineChoice
from tests.architecture.house import ROOT
from tests.conformance.kit import WAYS, engine_or_skip
from turnd.dataplane.contract import EngineSettings, Io

pytestmark = [pytest.mark.requires("gcc"), pytest.mark.requires("ip")]

#: Short lives, so that many end. Minutes are what a slow machine may take: the packets are over in seconds.
SHORT = ["--seed", "7", "--seconds", "0.3", "--clients", "20", "--minutes", "1.5"]


def soak(folder: Path, engine: str, *words: str) -> tuple[int, dict[str, Any]]:
    """Exit status and report."""
    file = folder / "report.json"
    command = [sys.executable, "-m", "bench", "soak", "--engine", engine, "--json", str(file), *SHORT, *words]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert file.exists(), run.stdout + run.stderr
    return run.returncode, json.loads(file.read_text())


@pytest.mark.parametrize(
    ("engine", "threads", "io"),
    [("python", "0", "auto"), ("native", "1", "epoll"), *(("native", "2", io.value) for io in WAYS)],
)
def test_nothing_goes_astray(tmp_path: Path, engine: str, threads: str, io: str) -> None:
    """With two threads the kernel chooses which one hears a client."""
    engine_or_skip(EngineChoice(engine), EngineSettings(io=Io(io))).close()
    status, report = soak(tmp_path, engine, "--packets", "2e5", "--threads", threads, "--io", io)
    assert status == 0, report
    assert (report["findings"], report["deaf"], report["troubles"]) == (0, 0, {})
    assert report["sent"] >= 2e5
    arrived = report["delivered_to_peer"] + report["delivered_to_client"]
    assert arrived > 0.9 * (report["sent"] - report["tried_after_end"])
    assert report["flows_ended"] > 20
    assert report["tried_after_end"] > 0
    assert {"refresh", "revoke", "close"} <= set(report["ended_by"])


@pytest.mark.parametrize(
    ("plant", "words", "options"),
    [
        ("wrong", "gets a packet of flow", ["--packets", "2e4"]),
        ("altered", "altered", ["--packets", "2e4"]),
        # Who lives for longer than the second of grace, and packets for as long.
        ("late", "after the end", ["--packets", "5e5", "--seconds", "4", "--minutes", "0.5"]),
    ],
)
def test_a_planted_fault_is_found(tmp_path: Path, plant: str, words: str, options: list[str]) -> None:
    status, report = soak(tmp_path, "auto", "--plant", plant, *options)
    assert status == 1
    assert report["findings"] > 0
    assert any(words in found for found in report["found"])
