"""The rules that hold for every test, tried on tests that break them."""

import time
import types
from pathlib import Path

import pytest

from tests.architecture.house import ROOT
from tests.poison import ImpureError, is_about_pure_code, poisoned

pytest_plugins = ["pytester"]

IMPURE_CALLS = [
    "import time; time.monotonic()",
    "import random; random.random()",
    "import random; random.Random(1)",
    "import os; os.urandom(4)",
    "import secrets; secrets.token_bytes(4)",
    "import socket; socket.socket().close()",
    "import asyncio; asyncio.new_event_loop().close()",
    "import uuid; uuid.uuid4()",
]


@pytest.mark.parametrize("code", IMPURE_CALLS)
def test_poison_stops_a_pure_module_and_nobody_else(code: str) -> None:
    with poisoned():
        with pytest.raises(ImpureError, match=r"stund\.responder calls"):
            _run_as("stund.responder", code)
        _run_as("tests.somebody", code)
    _run_as("stund.responder", "import time; time.monotonic()")


def test_poison_leaves_the_machine_as_it_was() -> None:
    before = time.monotonic
    with poisoned():
        assert time.monotonic is not before
    assert time.monotonic is before


@pytest.mark.parametrize(
    ("path", "pure"),
    [
        ("fairlead/stun/test_message.py", True),
        ("fairlead/stun/test_message_vectors.py", True),
        ("turnd/protocol/test_create_permission.py", True),
        ("turnd/dataplane/test_contract.py", True),
        ("turnd/rfc8656/test_7_refreshing.py", True),
        ("turnd/dataplane/test_python.py", False),
        ("turnd/test_server.py", False),
    ],
)
def test_the_tests_of_pure_modules_run_poisoned(path: str, pure: bool) -> None:
    assert is_about_pure_code(ROOT / "tests" / path) is pure


@pytest.fixture
def house_rules(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("CI", raising=False)
    pytester.makeconftest('pytest_plugins = ["tests.record_of_errors", "tests.skipping"]')
    pytester.makeini("[pytest]\nmarkers =\n    requires(program):\n    logs_error(pattern):")
    return pytester


def test_an_error_record_fails_the_test_that_did_not_announce_it(house_rules: pytest.Pytester) -> None:
    house_rules.makepyfile("""
        import logging
        import pytest
        from fairlead.log import get_logger

        log = logging.getLogger("deaf")
        log.propagate = False

        def test_silent():
            log.warning("only a warning")

        def test_loud():
            log.error("the roof is on fire")

        def test_structured():
            get_logger("cellar").error("the cellar is under water", name="cellar")

        @pytest.mark.logs_error("roof .* fire")
        def test_announced():
            log.error("the roof is on fire")

        @pytest.mark.logs_error("roof .* fire")
        def test_announced_and_silent():
            pass

        @pytest.fixture
        def late():
            yield
            log.critical("in teardown")

        def test_late(late):
            pass
    """)
    result = house_rules.runpytest_subprocess()
    result.assert_outcomes(passed=3, failed=3, errors=1)
    result.stdout.fnmatch_lines_random(
        ["ERROR deaf: the roof is on fire", "CRITICAL deaf: in teardown", "ERROR cellar: *under water*"]
    )


SKIPS = """
    import pytest
    from tests.skipping import skip_for_lack_of

    @pytest.mark.requires("turnserver")
    def test_program():
        raise AssertionError("it is not here")

    def test_kernel():
        skip_for_lack_of("IPv6", enable="sysctl net.ipv6.conf.lo.disable_ipv6=0")

    def test_mute():
        pytest.skip("no reason that helps")
"""


def test_skips_are_summed_up_with_what_would_enable_them(
    house_rules: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    house_rules.makepyfile(SKIPS)
    result = house_rules.runpytest_subprocess()
    result.assert_outcomes(skipped=3)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "*3 skipped, and what would enable them*",
            "sudo apt-get install --no-install-recommends coturn",
            "sysctl net.ipv6.conf.lo.disable_ipv6=0",
            "nobody says how to enable: no reason that helps",
        ]
    )


def test_ci_fails_for_a_skip_that_nobody_expected(
    house_rules: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", "true")
    house_rules.makepyfile(SKIPS)
    result = house_rules.runpytest_subprocess()
    result.assert_outcomes(skipped=3)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["CI skips *::test_program, which tests/skipping.py does not expect"])
    assert result.stdout.lines[-1].startswith("==="), "pytest's closing line comes last"


def test_a_program_without_a_package_is_a_mistake_of_the_test(house_rules: pytest.Pytester) -> None:
    house_rules.makepyfile("""
        import pytest

        @pytest.mark.requires("no-such-program")
        def test_program():
            pass
    """)
    result = house_rules.runpytest_subprocess()
    result.stdout.fnmatch_lines(["*no-such-program: add it, with its Debian package, to tests/programs.txt*"])
    assert result.ret != pytest.ExitCode.OK


def _run_as(name: str, code: str) -> None:
    module = types.ModuleType(name)
    exec(code, module.__dict__)  # noqa: S102 -- the point is whose name the frame has
