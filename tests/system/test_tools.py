"""What `make` calls to set itself up: it does what it may, and says what it may not."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.architecture.house import ROOT

Fake = Callable[[str, str], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder that comes first on the PATH of the tools."""
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


@pytest.fixture
def fake(path: Path) -> Fake:
    """Puts a shell script in the place of a program."""

    def write(program: str, script: str) -> None:
        (path / program).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (path / program).chmod(0o755)

    return write


def _run(path: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{path}:/usr/bin:/bin"}
    return subprocess.run(command, env=environment, cwd=path.parent, capture_output=True, text=True, check=False)


def _install(path: Path, *lines: str) -> subprocess.CompletedProcess[str]:
    table = path.parent / "programs.txt"
    table.write_text("\n".join(("# a comment", *lines, "")), encoding="utf-8")
    return _run(path, ROOT / "tools" / "install-programs", table)


def test_nothing_happens_when_nothing_is_missing(path: Path, fake: Fake) -> None:
    fake("apt-get", "echo called; exit 1")
    result = _install(path, "sh dash", "/bin/sh dash  # a file will do")
    assert (result.returncode, result.stdout) == (0, "")


def test_without_the_right_to_install_it_names_the_command(path: Path, fake: Fake) -> None:
    fake("apt-get", "echo called; exit 1")
    fake("id", "echo 1000")
    fake("sudo", "exit 1")
    result = _install(path, "no-such-program coturn", "no-such-file chromium", "another coturn")
    assert result.returncode == 0
    assert "called" not in result.stdout
    assert "sudo apt-get install --no-install-recommends chromium coturn \n" in result.stdout


@pytest.mark.parametrize(("user", "sudo"), [("0", "exit 1"), ("1000", '[ "$1" = -n ] && shift && exec "$@"')])
def test_with_the_right_it_updates_once_and_installs(path: Path, fake: Fake, user: str, sudo: str) -> None:
    calls = path.parent / "calls.txt"
    fake("apt-get", f'echo "$@" >>{calls}')
    fake("id", f"echo {user}")
    fake("sudo", sudo)
    result = _install(path, "no-such-program iproute2")
    assert result.returncode == 0, result.stderr
    update, install = calls.read_text(encoding="utf-8").splitlines()
    assert update == "update --quiet"
    assert install.startswith("install ")
    assert install.endswith(" iproute2")


def test_a_failed_installation_is_told_and_stops_nothing(path: Path, fake: Fake) -> None:
    fake("apt-get", "echo E: no network; exit 100")
    fake("id", "echo 0")
    result = _install(path, "no-such-program iproute2")
    assert result.returncode == 0
    assert "E: no network" in result.stdout
    assert "could not install: iproute2 (tests that need it are skipped)" in result.stdout


OLD = "exit 1"
WITHOUT_VENV = 'case "$2" in *version_info\\ *) exit 0 ;; *ensurepip*) exit 1 ;; *) echo 3.12 ;; esac'
PYTHONS = ("python3", "python3.11", "python3.12", "python3.13", "python3.14")


def _without_absolute_path(folder: Path) -> Path:
    """make-environment, but for the one Python that it looks for outside of the PATH."""
    copy = folder / "make-environment"
    text = (ROOT / "tools" / "make-environment").read_text(encoding="utf-8")
    copy.write_text(text.replace(" /usr/bin/python3.11 ", " "), encoding="utf-8")
    return copy


def test_without_a_new_enough_python_it_says_what_to_install(path: Path, fake: Fake) -> None:
    for program in PYTHONS:
        fake(program, OLD)
    result = _run(path, "sh", _without_absolute_path(path.parent), "venv")
    assert result.returncode == 1
    assert "no Python 3.11 or newer" in result.stderr
    assert "sudo apt-get install python3.11 python3.11-venv" in result.stderr


def test_without_the_venv_module_it_names_the_package(path: Path, fake: Fake) -> None:
    for program in PYTHONS:
        fake(program, OLD)
    fake("python3.12", WITHOUT_VENV)
    result = _run(path, "sh", _without_absolute_path(path.parent), "venv")
    assert result.returncode == 1
    assert "sudo apt-get install python3.12-venv" in result.stderr
    assert not (path.parent / "venv").exists()
