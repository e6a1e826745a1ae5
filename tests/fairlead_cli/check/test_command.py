import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fairlead_cli.__main__ import app
from tests.architecture.house import ROOT
from tests.fairlead_cli.kit import COMPLETE, write

SECRET = "0123456789abcdef0123456789abcdef"


def check(folder: Path, text: str, *arguments: str, **environ: str) -> Result:
    file = write(folder, text)
    return CliRunner().invoke(app, ["check", "--config", str(file), *arguments], env=environ)


def test_what_counts_and_where_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "fairlead.yaml"
    result = check(tmp_path, COMPLETE + "turnd:\n  engine: python\n", FAIRLEAD__LOG__LEVEL="debug")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert f"turnd.engine = python  ({file}:7:11)" in lines
    assert "log.level = debug  (environment variable FAIRLEAD__LOG__LEVEL)" in lines
    assert "stund.classic = false  (default)" in lines
    assert f"auth.secrets[0].value = *****  ({file}:3:36)" in lines
    assert SECRET not in result.output
    assert result.stderr == "Nothing is wrong with it.\n"


def test_a_secret_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{SECRET}\n")
    file = tmp_path / "fairlead.yaml"
    result = check(tmp_path, COMPLETE.replace("join_key: 0123456789abcdef", "join_key_file: key"))
    assert f"signal_api.join_key = *****  ({tmp_path / 'key'} (named at {file}:5:18))" in result.stdout


def test_everything_that_is_wrong_comes_at_once(tmp_path: Path) -> None:
    result = check(tmp_path, "turnd:\n  engin: auto\nstund:\n  classic: perhaps\n")
    file = tmp_path / "fairlead.yaml"
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        f"fairlead check: {file}:2:3: turnd.engin: unknown key; did you mean engine?",
        f"fairlead check: {file}:4:12: stund.classic: 'perhaps' is neither true nor false; write true or false",
        f"Put it right, then: fairlead check --config {file}",
    ]


def test_what_would_keep_a_daemon_from_starting_is_1(tmp_path: Path) -> None:
    result = check(tmp_path, COMPLETE + "  listen: '*:3478'\n")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"problem: {tmp_path / 'fairlead.yaml'}:6:11: signal_api.listen: tcp://*:3478 is")


def test_warnings_are_no_failure_and_come_last(tmp_path: Path) -> None:
    result = check(tmp_path, COMPLETE + "  listen: '*:3478'\nturnd: {expiry: cut}\n")
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["problem", "warning"]
    assert check(tmp_path, COMPLETE + "turnd: {expiry: cut}\n").exit_code == 0


def test_the_example_is_valid() -> None:
    result = CliRunner().invoke(app, ["check", "--config", str(ROOT / "config.example.yaml")])
    assert result.exit_code == 0
    assert "problem" not in result.stderr


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["check", "--config", str(tmp_path / "none.yaml")])
    assert result.exit_code == 2
    assert "none.yaml: cannot be read (No such file or directory); give the path of a YAML file by" in result.stderr


def test_the_file_may_be_named_by_the_environment(tmp_path: Path) -> None:
    file = write(tmp_path, COMPLETE)
    result = CliRunner().invoke(app, ["check"], env={"FAIRLEAD_CONFIG": str(file)})
    assert f"({file}:3:20)" in result.stdout


def for_programs(folder: Path, text: str) -> tuple[int, dict[str, Any]]:
    result = check(folder, text, "--json")
    assert result.stderr == ""
    document: dict[str, Any] = json.loads(result.stdout)
    return result.exit_code, document


def test_for_programs_a_valid_one(tmp_path: Path) -> None:
    code, document = for_programs(tmp_path, COMPLETE + "turnd: {expiry: cut}\n")
    assert (code, document["valid"], document["problems"]) == (0, True, [])
    (warning,) = document["warnings"]
    assert warning["key"] == "turnd.expiry"
    assert warning["place"] == {"source": str(tmp_path / "fairlead.yaml"), "line": 6, "column": 17}
    values = {row["key"]: row for row in document["values"]}
    assert values["turnd.expiry"]["value"] == "cut"
    assert values["stund.ops"]["place"] == {"source": "default", "line": None, "column": None}
    assert SECRET not in json.dumps(document)


@pytest.mark.parametrize(
    ("text", "code", "valid"), [("turnd: {engin: auto}", 2, False), ("stund: {ops: '127.0.0.1:9480'}", 1, True)]
)
def test_for_programs_a_wrong_one(tmp_path: Path, text: str, code: int, valid: bool) -> None:
    found, document = for_programs(tmp_path, text)
    assert (found, document["valid"]) == (code, valid)
    (problem,) = document["problems"]
    assert problem["remedy"]
