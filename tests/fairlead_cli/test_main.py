import subprocess
import sys

import pytest
from typer.testing import CliRunner

from fairlead import __version__
from fairlead_cli.__main__ import app

COMMANDS = ("up", "check", "creds")


def test_the_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"fairlead {__version__}\n")


@pytest.mark.parametrize("arguments", [["--help"], []])
def test_the_help_names_every_command(arguments: list[str]) -> None:
    output = CliRunner().invoke(app, arguments).output
    for command in COMMANDS:
        assert f"\n  {command} " in output
    assert "Exit codes: 0 ok" in output


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_is_plain_text(command: str) -> None:
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert result.stdout.isascii()
    assert "\x1b" not in result.stdout
    assert "FAIRLEAD_CONFIG" in result.stdout


@pytest.mark.parametrize("arguments", [["down"], ["check", "--colour"], ["creds", "--format", "csv"]])
def test_a_wrong_command_line_is_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert arguments[-1] in result.stderr


def test_it_is_a_command_and_a_module() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "fairlead_cli", "--version"], capture_output=True, text=True, check=True
    )
    assert run.stdout == f"fairlead {__version__}\n"
