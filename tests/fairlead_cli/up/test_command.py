import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fairlead_cli.__main__ import app
from fairlead_cli.up.command import Session
from tests.fairlead_cli.kit import COMPLETE, write


def up(folder: Path, text: str) -> Result:
    arguments = ["up", "--config", str(write(folder, text))]
    return CliRunner().invoke(app, arguments, env={"FAIRLEAD_STATE": str(folder / "state")})


def session(folder: Path, text: str) -> Session:
    return Session(write(folder, text), {"FAIRLEAD_STATE": str(folder / "state"), "HOME": "/root", "LANG": "C.UTF-8"})


def test_a_wrong_configuration_starts_nothing(tmp_path: Path) -> None:
    result = up(tmp_path, "turnd: {engin: auto}\nstund: {x: 1}\n")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("unknown key") == 2
    assert "Put it right, then: fairlead check --config" in result.stderr
    assert not (tmp_path / "state").exists()


def test_a_state_directory_that_cannot_be_used_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    result = up(tmp_path, "")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "cannot be used (File exists); set FAIRLEAD_STATE to a directory that you may write to" in result.stderr


def test_an_ops_port_that_the_system_chooses_could_not_be_asked(tmp_path: Path) -> None:
    result = up(tmp_path, "turnd:\n  ops: 127.0.0.1:0\n")
    assert result.exit_code == 2
    assert "fairlead.yaml:2:8: turnd.ops: `fairlead up` asks there whether it is ready; write a port" in result.stderr


def test_three_daemons_share_one_configuration(tmp_path: Path) -> None:
    jobs = session(tmp_path, "turnd: {ops: '0.0.0.0:9000'}").jobs()
    file = str(tmp_path / "fairlead.yaml")
    assert [(job.module, job.arguments, str(job.ops)) for job in jobs] == [
        ("stund", ["--config", file], "127.0.0.1:9479"),
        ("turnd", ["--config", file], "127.0.0.1:9000"),
        ("signal_api", ["--config", file], "127.0.0.1:9480"),
    ]
    assert jobs[0].environ == jobs[1].environ == jobs[2].environ


def test_no_secret_stands_in_what_a_process_list_shows(tmp_path: Path) -> None:
    (job, *_) = session(tmp_path, "").jobs()
    shown = f"{job.arguments} {job.environ}"
    for file in ("secret", "join-key"):
        assert (tmp_path / "state" / file).read_text().strip() not in shown
        assert str(tmp_path / "state" / file) in shown


def test_without_a_file_none_is_named(tmp_path: Path) -> None:
    started = Session(None, {"FAIRLEAD_STATE": str(tmp_path), "LANG": "C.UTF-8"})
    assert [job.arguments for job in started.jobs()] == [[], [], []]


def test_a_complete_configuration_brings_no_secret_along(tmp_path: Path) -> None:
    session(tmp_path, COMPLETE)
    assert os.listdir(tmp_path / "state") == []


@pytest.mark.parametrize(
    ("text", "objection"),
    [
        ("turnd: {engin: auto}", "unknown key; did you mean engine?"),
        ("turnd: {ops: '127.0.0.1:1'}", "turnd.ops cannot move while fairlead up runs"),
        (COMPLETE, "it changes what fairlead up brings along (FAIRLEAD__AUTH__SECRETS__0__NAME, "),
        ('turnd: {listen: ["udp://*:4000"]}', "(FAIRLEAD__SIGNAL_API__ICE__TURN); restart"),
    ],
)
def test_what_cannot_be_taken_over_by_a_reload(tmp_path: Path, text: str, objection: str) -> None:
    running = session(tmp_path, "")
    write(tmp_path, text)
    (said,) = running.objections()
    assert objection in said


def test_only_what_changed_is_named(tmp_path: Path) -> None:
    running = session(tmp_path, 'turnd: {listen: ["udp://*:4000"]}')
    write(tmp_path, 'turnd: {listen: ["udp://*:4001"]}')
    assert list(running.objections()) == [
        "it changes what fairlead up brings along (FAIRLEAD__SIGNAL_API__ICE__TURN); restart"
    ]


def test_everything_else_can(tmp_path: Path) -> None:
    running = session(tmp_path, "")
    write(tmp_path, "log: {level: debug}\nturnd: {peers: {deny: [10.0.0.0/8]}}")
    assert list(running.objections()) == []
