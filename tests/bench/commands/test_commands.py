import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import parser
from bench.commands import commands
from tests.architecture.house import ROOT


def test_each_command_takes_its_name_and_says_what_it_does() -> None:
    text = " ".join(parser().format_help().split())
    for name, command in commands():
        assert command.__doc__ is not None
        assert f"{name} {command.__doc__.partition(chr(10))[0]}" in text
    assert {"relay"} <= {name for name, _ in commands()}


@pytest.mark.requires("gcc")
@pytest.mark.requires("turnserver")
def test_whoever_ends_a_run_ends_its_servers(tmp_path: Path) -> None:
    """A folder of its own stays behind where a server was not stopped."""
    command = [sys.executable, "-um", "bench", "allocate", "--vs", "coturn", "--rounds", "1000", "--count", "20"]
    environ = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert "allocate 1/1000" in run.stdout.readline()
        run.terminate()
        run.stdout.read()
    assert run.returncode == 143
    assert not list(tmp_path.iterdir())
