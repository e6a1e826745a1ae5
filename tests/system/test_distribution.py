"""What is published: a source distribution that builds, and a wheel without Rust that is Python alone."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.architecture.house import PACKAGES, ROOT

NEEDED = {
    "pyproject.toml", "README.md", "LICENSE", "config.example.yaml", "tools/build-engine", "tools/hatch_build.py",
    "native/Cargo.toml", "native/Cargo.lock", "native/pymodule/src/lib.rs",
}  # fmt: skip
#: What no user builds or runs.
UNWANTED = ("tests/", "bench/", "docs/", ".venv/", ".git/", "native/target/", "fairlead/native/_engine.abi3.so")


def build(source: Path, target: str, output: Path, path: str) -> Path:
    """Builds a source or wheel distribution with the programs of this PATH; returns the one file that comes of it."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(output)]
    subprocess.run(command, cwd=source, env=os.environ | {"PATH": path}, check=True, capture_output=True)
    (built,) = output.iterdir()
    return built


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution, unpacked."""
    folder = tmp_path_factory.mktemp("distribution")
    archive = build(ROOT, "sdist", folder / "sdist", os.environ["PATH"])
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def test_the_source_distribution_holds_what_a_build_needs(source: Path) -> None:
    files = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    assert not NEEDED - files
    assert not [file for file in files if file.startswith(UNWANTED)]
    for package in PACKAGES:
        ours = {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py")}
        assert ours <= files


def test_where_no_rust_is_the_wheel_is_python_alone(source: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("sh", "dirname", "rm"):
        found = shutil.which(tool)
        assert found is not None
        (tools / tool).symlink_to(found)
    wheel = build(source, "wheel", tmp_path / "wheel", str(tools))
    assert wheel.name.endswith("-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.endswith(".so")]
    assert {f"{package}/__init__.py" for package in PACKAGES} <= set(names)
    assert any(name.endswith("entry_points.txt") for name in names)
