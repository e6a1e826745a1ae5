"""The import contracts of pyproject.toml hold; `make check` runs the same ones."""

import subprocess
import sys
import tomllib
from pathlib import Path

from tests.architecture.house import PACKAGES, ROOT, modules


def test_the_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    run = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " kept, 0 broken." in run.stdout


def test_nothing_imports_the_operators_command() -> None:
    users = {
        name
        for name, module in modules().items()
        if not name.startswith("fairlead_cli") and any(i.startswith("fairlead_cli") for i in module.imports())
    }
    assert not users


def test_the_contracts_cover_every_package() -> None:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert configuration["tool"]["importlinter"]["root_packages"] == list(PACKAGES)
    assert configuration["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == list(PACKAGES)
