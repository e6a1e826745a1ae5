import json
import subprocess
import sys
from pathlib import Path

from tests.architecture.house import ROOT


def plot(rows: Path, picture: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", "plot", str(rows), "-o", str(picture)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_rows_become_a_picture(tmp_path: Path) -> None:
    rows, picture = tmp_path / "rows.json", tmp_path / "rows.svg"
    row = {"case": "memory", "engine": "native", "peer": "coturn", "rss_bytes_per_allocation": 4096, "ratio": 5.0}
    rows.write_text(json.dumps([row]))
    assert plot(rows, picture).returncode == 0
    assert picture.read_text().startswith("<svg")


def test_what_cannot_be_drawn_is_said(tmp_path: Path) -> None:
    rows = tmp_path / "rows.json"
    rows.write_text("[]")
    run = plot(rows, tmp_path / "rows.svg")
    assert run.returncode == 1
    assert "there is no measurement" in run.stderr
