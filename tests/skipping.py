"""A test that cannot run here says which command would let it run; CI takes no skip that is not written down."""

import os
import shutil
from collections import defaultdict
from functools import cache
from typing import NoReturn

import pytest
from _pytest.outcomes import Skipped

from tests.architecture.house import ROOT

#: Tests that CI skips, by node id, and why. Every other skip fails it, and so does a line here that skips nothing.
EXPECTED_IN_CI: dict[str, str] = {}

PROGRAMS = ROOT / "tests" / "programs.txt"


class Lacking(Skipped):
    """Skips a test for the lack of something that a command would bring."""

    def __init__(self, what: str, enable: str) -> None:
        super().__init__(f"{what} is not here; enable with: {enable}", _use_item_location=True)
        self.enable = enable


def skip_for_lack_of(what: str, *, enable: str) -> NoReturn:
    """For what is no program, such as IPv6: skips the running test. `enable` is the command that would bring it."""
    raise Lacking(what, enable)


def require_program(program: str) -> str:
    """The path of a program that tests/programs.txt lists; skips the running test where it is missing."""
    if program not in packages():
        raise pytest.UsageError(f"{program}: add it, with its Debian package, to {PROGRAMS.relative_to(ROOT)}")
    path = shutil.which(program)
    if path is None:
        raise Lacking(program, f"sudo apt-get install --no-install-recommends {packages()[program]}")
    return path


@cache
def packages() -> dict[str, str]:
    """The Debian package of each program that tests may ask for."""
    lines = (line.partition("#")[0].split() for line in PROGRAMS.read_text(encoding="utf-8").splitlines())
    return {words[0]: words[1] for words in lines if words}


_skips: dict[str, Skipped] = {}


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("requires"):
        require_program(*marker.args, **marker.kwargs)


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    if call.excinfo is not None and isinstance(call.excinfo.value, Skipped):
        _skips[item.nodeid] = call.excinfo.value


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        _skips[report.nodeid] = Skipped("the whole file")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _complaints(session) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tests_by_remedy: dict[str, list[str]] = defaultdict(list)
    for test, skip in _skips.items():
        remedy = skip.enable if isinstance(skip, Lacking) else f"nobody says how to enable: {skip.msg}"
        tests_by_remedy[remedy].append(test)
    if tests_by_remedy:
        terminalreporter.section(f"{len(_skips)} skipped, and what would enable them")
    for remedy, tests in tests_by_remedy.items():
        terminalreporter.write_line(f"{remedy}\n    {len(tests)}: {', '.join(tests[:3])}{' ...' if tests[3:] else ''}")
    session = terminalreporter._session
    for complaint in _complaints(session) if session else ():
        terminalreporter.write_line(complaint, red=True)


def _complaints(session: pytest.Session) -> list[str]:
    """What CI does not accept about the skips of this run; elsewhere every skip is accepted."""
    if not os.environ.get("CI"):
        return []
    ran = {item.nodeid for item in session.items} - set(_skips)
    unexpected = [
        f"CI skips {test}, which tests/skipping.py does not expect" for test in _skips if test not in EXPECTED_IN_CI
    ]
    return unexpected + [
        f"tests/skipping.py expects CI to skip {test}, and it ran" for test in EXPECTED_IN_CI if test in ran
    ]
