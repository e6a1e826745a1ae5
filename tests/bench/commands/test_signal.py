import argparse
import json
import shutil
from pathlib import Path

import pytest

from bench.commands import signal


def test_a_server_that_cannot_be_had_is_left_out_aloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("taskset", "cc", "as", "ld"):
        program = shutil.which(name)
        assert program is not None, name
        (tmp_path / name).symlink_to(program)
    monkeypatch.setenv("PATH", str(tmp_path))  # no node there
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    parser = argparse.ArgumentParser()
    signal.add_arguments(parser)
    file = tmp_path / "rows.json"
    words = ["--servers", "peerjs-server", "signal_api", "--rounds", "1", "--idle", "10", "--pairs", "2"]
    options = parser.parse_args([*words, "--rate", "50", "--seconds", "0.3", "--json", str(file)])
    assert signal.run(options) == 0
    assert "peerjs-server is left out" in capsys.readouterr().out
    assert [row["server"] for row in json.loads(file.read_text())] == ["signal_api"]
