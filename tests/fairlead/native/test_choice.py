"""Which engine runs where."""

import sys
import types

import pytest

from fairlead.native import EngineChoice, EngineMissingError, is_native

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
def test_auto_does_without_it() -> None:
    assert not is_native(EngineChoice.AUTO)


@pytest.mark.usefixtures("without_the_extension")
def test_asked_for_and_missing_is_an_error_with_its_remedy() -> None:
    with pytest.raises(EngineMissingError, match="no native engine") as caught:
        is_native(EngineChoice.NATIVE)
    assert "make native" in caught.value.remedy
    assert "python" in caught.value.remedy


def test_one_that_was_built_from_other_sources_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words for dropped packets are others."""
    stale = types.ModuleType(EXTENSION)
    stale.REASONS = ["empty"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, EXTENSION, stale)
    assert not is_native(EngineChoice.AUTO)
    with pytest.raises(EngineMissingError, match="other sources"):
        is_native(EngineChoice.NATIVE)
