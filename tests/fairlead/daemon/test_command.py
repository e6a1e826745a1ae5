import asyncio
import resource
import sys
from pathlib import Path

import pytest

from fairlead import __version__
from fairlead.config import SettingError
from fairlead.daemon import run
from tests.fairlead.daemon.recording import Recording


class Refusing(Recording):
    """Tells by what it raises in which loop it was started."""

    async def start(self, loaded: object, context: object) -> None:
        raise SettingError(("stund", "word"), type(asyncio.get_running_loop()).__module__)


def configured(folder: Path, text: str = "") -> str:
    file = folder / "fairlead.yaml"
    file.write_text("stund:\n  ops: 127.0.0.1:0\n" + text)
    return str(file)


def test_check_shows_every_setting_and_where_it_comes_from(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = configured(tmp_path, "  word: second\n")
    assert run(Recording(), ["--check", "--config", path], {"FAIRLEAD__LOG__LEVEL": "debug"}) == 0
    shown = capsys.readouterr().out
    assert f"stund.word = second  ({path}:3:9)\n" in shown
    assert "log.level = debug  (environment variable FAIRLEAD__LOG__LEVEL)\n" in shown
    assert "stund.drain_deadline = 10.0  (default)\n" in shown


def test_the_file_may_be_named_by_the_environment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = configured(tmp_path, "  word: second\n")
    assert run(Recording(), ["--check"], {"FAIRLEAD_CONFIG": path}) == 0
    assert "stund.word = second" in capsys.readouterr().out
    assert run(Recording(), ["--check"], {"FAIRLEAD_CONFIG": ""}) == 0
    assert "stund.word = first" in capsys.readouterr().out


@pytest.mark.parametrize("options", [[], ["--check"]])
def test_a_wrong_configuration_shows_every_problem_and_exits_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    path = configured(tmp_path, "  wrod: x\n  drain_deadline: soon\n")
    assert run(Recording(), [*options, "--config", path], {}) == 2
    assert capsys.readouterr().err == (
        f"stund: {path}:3:3: stund.wrod: unknown key; did you mean word?\n"
        f"stund: {path}:4:19: stund.drain_deadline: 'soon' is no number; write digits\n"
    )


def test_a_missing_file_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Recording(), ["--config", str(tmp_path / "none.yaml")], {}) == 2
    assert "cannot be read (No such file or directory)" in capsys.readouterr().err


@pytest.mark.logs_error("cannot start")
def test_every_daemon_may_open_as_many_files_as_the_system_allows(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
        assert run(Refusing(), ["--config", configured(tmp_path)], {}) == 1
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.logs_error("cannot start")
@pytest.mark.parametrize(
    ("options", "environ", "loop"),
    [
        ([], {}, "uvloop"),
        (["--loop", "asyncio"], {}, "asyncio.unix_events"),
        (["--loop", "uvloop"], {}, "uvloop"),
        ([], {"FAIRLEAD_LOOP": "asyncio"}, "asyncio.unix_events"),
        (["--loop", "uvloop"], {"FAIRLEAD_LOOP": "asyncio"}, "uvloop"),
    ],
)
def test_the_loop_can_be_chosen(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, options: list[str], environ: dict[str, str], loop: str
) -> None:
    assert run(Refusing(), ["--config", configured(tmp_path), *options], environ) == 1
    assert f"stund.word: {loop}" in caplog.text


@pytest.mark.logs_error("cannot start")
def test_without_uvloop_auto_is_asyncio(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run(Refusing(), ["--config", configured(tmp_path)], {}) == 1
    assert "stund.word: asyncio.unix_events" in caplog.text


def test_uvloop_that_is_asked_for_and_missing_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert run(Refusing(), ["--config", configured(tmp_path), "--loop", "uvloop"], {}) == 2
    assert capsys.readouterr().err == ("stund: uvloop is asked for and not installed; install it, or use --loop auto\n")


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        run(Recording(), ["--version"], {})
    assert capsys.readouterr().out == f"stund {__version__}\n"
    with pytest.raises(SystemExit, match="0"):
        run(Recording(), ["--help"], {})
    assert "SIGHUP reads the configuration" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("arguments", [["--no-such-option"], ["--loop", "none"]])
def test_a_wrong_command_line_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(Recording(), arguments, {})
    assert "usage: stund" in capsys.readouterr().err
