"""Which engine runs where."""

import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import fairlead.native
from fairlead.native import EngineChoice, EngineMissingError, is_native
from fairlead.reasons import Reason

EXTENSION = "fairlead.native._engine"


@pytest.fixture
def without_the_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that was made where there is no Rust."""
    monkeypatch.setitem(sys.modules, EXTENSION, None)


def test_python_is_never_native() -> None:
    assert not is_native(EngineChoice.PYTHON)


def test_auto_takes_the_native_engine_where_it_is() -> None:
    try:
        is_there = is_native(EngineChoice.NATIVE)
    except EngineMissingError:
        is_there = False
    assert is_native(EngineChoice.AUTO) is is_there


@pytest.mark.usefixtures("without_the_extension")
def test_auto_does_without_it(caplog: pytest.LogCaptureFixture) -> None:
    assert not is_native(EngineChoice.AUTO)
    assert not caplog.records, "it is no fault to have none"


@pytest.mark.usefixtures("without_the_extension")
def test_asked_for_and_missing_is_an_error_with_its_remedy() -> None:
    with pytest.raises(EngineMissingError, match="no native engine") as caught:
        is_native(EngineChoice.NATIVE)
    assert "make native" in caught.value.remedy
    assert "python" in caught.value.remedy


VERBS = re.findall(r"    def (\w+)\(", (Path(fairlead.native.__file__).parent / "_engine.pyi").read_text())
#: All verbs by their names, none with the parameters that it should have.
OTHER_VERBS = type("Engine", (), {verb: lambda self, other: None for verb in VERBS})


@pytest.mark.parametrize(
    "has",
    [
        {"REASONS": ["empty"]},
        {"REASONS": list(Reason)},
        {"REASONS": list(Reason), "CHALLENGED": [], "probe_ring": lambda: None},
        {"REASONS": list(Reason), "CHALLENGED": [], "probe_ring": lambda: None, "Engine": OTHER_VERBS},
    ],
    ids=["other words", "no other names", "no engine", "other verbs"],
)
def test_one_that_was_built_from_other_sources_is_none(
    has: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An import that fails later, or a call, would end the daemon that could have done without it."""
    stale = types.ModuleType(EXTENSION)
    vars(stale).update(has)
    monkeypatch.setitem(sys.modules, EXTENSION, stale)
    assert not is_native(EngineChoice.AUTO)
    assert "other sources" in caplog.records[-1].getMessage()
    with pytest.raises(EngineMissingError, match="other sources"):
        is_native(EngineChoice.NATIVE)
