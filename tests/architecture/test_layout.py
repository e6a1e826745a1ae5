"""What stands where: names that say something, files and functions that fit a screen, a test for each module."""

import ast
from pathlib import Path

import pytest

from tests.architecture.house import DAEMONS, PACKAGES, ROOT, TOPICS, Module, modules, reached_from

LONGEST_FILE = 400
#: A function aims at 40 lines; a handler that walks through an RFC section's steps may take 60.
LONGEST_FUNCTION = 60
#: Names that refuse nothing, so that everything ends up in them.
BANNED = {
    "base", "common", "core", "exceptions", "helper", "helpers", "lib", "misc", "shared", "types", "util", "utils",
}  # fmt: skip

#: Modules without a test module of their own, and why.
UNMIRRORED = {
    "fairlead.daemon.protocol": "what a daemon is; mypy holds the three of them to it",
    "stund.__main__": "one call; tests/processes.py starts daemons by it",
    "turnd.__main__": "one call; tests/processes.py starts daemons by it",
    "signal_api.__main__": "one call; tests/processes.py starts daemons by it",
    "turnd.dataplane.contract": "a promise; tests/conformance holds every engine to it",
}

FILES = sorted(
    path for top in (*PACKAGES, "bench", "fuzz", "sdk/python", "tests") for path in (ROOT / top).rglob("*.py")
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_fits_and_so_do_its_functions(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST_FILE, "which noun in it wants a file of its own?"
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    too_long = [f"{f.name} ({f.end_lineno} - {f.lineno})" for f in functions if _length(f) > LONGEST_FUNCTION]
    assert not too_long


def test_no_module_has_a_name_that_refuses_nothing() -> None:
    assert not [path for path in FILES if path.stem in BANNED or path.parent.name in BANNED]


@pytest.mark.parametrize("module", modules().values(), ids=lambda module: module.name)
def test_every_module_is_mirrored_by_a_test_module(module: Module) -> None:
    if not module.has_behaviour or module.name in UNMIRRORED:
        return
    folder = ROOT / "tests" / module.relative_path.parent
    name = module.path.parent.name if module.is_package else module.path.stem.strip("_")
    assert (folder / f"test_{name}.py").is_file(), f"write {folder.relative_to(ROOT)}/test_{name}.py"


def test_every_mirror_shows_a_module() -> None:
    """A test module is called test_MODULE.py, or test_MODULE_ASPECT.py where one is not enough."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        folder = path.parent.relative_to(ROOT / "tests")
        if not folder.parts or any(folder.is_relative_to(topic) for topic in TOPICS):
            continue
        sources = {source.stem.strip("_") for source in (ROOT / folder).glob("*.py")} | {folder.name}
        words = path.stem.removeprefix("test_").split("_")
        names = {"_".join(words[:end]) for end in range(1, len(words) + 1)}
        assert names & sources, f"{path.relative_to(ROOT)} mirrors no module"


def test_no_exception_outlives_its_module() -> None:
    assert set(UNMIRRORED) <= set(modules())


@pytest.mark.parametrize("module", [m for m in modules() if m.startswith("fairlead.")])
def test_the_ground_floor_holds_what_two_daemons_need(module: str) -> None:
    users = {daemon for daemon in DAEMONS if module in _reached_by(daemon)}
    assert len(users) >= 2, f"{module} is needed by {users or 'no daemon'}: it belongs into that house"


def _length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


def _reached_by(daemon: str) -> set[str]:
    return reached_from(name for name in modules() if (name + ".").startswith(daemon + "."))
