"""The pages: their pure parts are tested by node itself, and each file they name is there."""

import re
import subprocess
from pathlib import Path

import pytest

from signal_api.app import PAGES
from tests.skipping import require_program

_TESTS = sorted(Path(__file__).parent.glob("*.test.mjs"))
_REFERENCE = re.compile(r"""(?:from|src=|href=)\s*["']([^"'#]+)["']""")


@pytest.mark.parametrize("path", _TESTS, ids=lambda path: path.name)
def test_what_node_can_test(path: Path) -> None:
    done = subprocess.run([require_program("node"), "--test", path], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("page", sorted(PAGES.rglob("*.*")), ids=lambda path: str(path.relative_to(PAGES)))
def test_a_page_names_only_files_that_are_there(page: Path) -> None:
    for name in _REFERENCE.findall(page.read_text(encoding="utf-8")):
        target = (page.parent / name).resolve()
        assert target.is_relative_to(PAGES), name
        assert target.exists(), name
