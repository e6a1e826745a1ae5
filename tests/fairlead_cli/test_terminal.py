from pathlib import Path

import pytest
import typer

from fairlead.config import ConfigError, Place, Problem
from fairlead_cli.exits import Exit
from fairlead_cli.state import StateError
from fairlead_cli.terminal import CommandError, explained, pasteable, stdout

PROBLEM = Problem(Place("f.yaml", 3, 5), ("turnd", "engine"), "'warp' is not known", "write auto")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError([PROBLEM]), Exit.USAGE, "fairlead x: f.yaml:3:5: turnd.engine: 'warp' is not known; write auto\n"),
        (StateError("cannot be used; set it"), Exit.PROBLEM, "fairlead x: cannot be used; set it\n"),
        (CommandError("no; do this"), Exit.PROBLEM, "fairlead x: no; do this\n"),
        (CommandError("no such name", Exit.USAGE), Exit.USAGE, "fairlead x: no such name\n"),
    ],
)
def test_a_failure_has_a_sentence_and_a_code(
    error: Exception, code: Exit, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as caught, explained("x", None):
        raise error
    assert caught.value.exit_code == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(said)


def test_a_wrong_configuration_is_followed_by_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), explained("up", Path("f.yaml")):
        raise ConfigError([PROBLEM])
    assert capsys.readouterr().err.endswith("\nPut it right, then: fairlead check --config f.yaml\n")


def test_a_command_to_paste_is_found_where_the_path_does_not_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a fresh clone, where `make up` calls it in .venv."""
    monkeypatch.setattr("sys.argv", [".venv/bin/fairlead", "up"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert pasteable("creds alice", None) == ".venv/bin/fairlead creds alice"
    assert pasteable("check", Path("f.yaml")) == ".venv/bin/fairlead check --config f.yaml"


def test_a_bug_is_not_explained_away() -> None:
    with pytest.raises(ZeroDivisionError), explained("x", None):
        raise ZeroDivisionError


def test_text_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    line = "[bold]:smile: http://[::1]:80/ 'x' " + "long " * 100
    stdout().print(line)
    assert capsys.readouterr().out == line + "\n"
