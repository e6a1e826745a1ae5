"""Which engine runs where."""

import sys
from contextlib import closing

import pytest

from turnd.dataplane.choice import EngineChoice, EngineMissingError, make_engine
from turnd.dataplane.contract import EngineSettings


@pytest.fixture
def without_the_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that was made where there is no Rust."""
    monkeypatch.setitem(sys.modules, "turnd.dataplane.native", None)


def made(choice: EngineChoice) -> str:
    with closing(make_engine(choice, EngineSettings())) as engine:
        return engine.name


def test_the_engine_that_is_asked_for_runs() -> None:
    assert made(EngineChoice.PYTHON) == "python"


def test_auto_takes_the_native_engine_where_it_is() -> None:
    try:
        fastest = made(EngineChoice.NATIVE)
    except EngineMissingError:
        fastest = "python"
    assert made(EngineChoice.AUTO) == fastest


@pytest.mark.usefixtures("without_the_extension")
def test_auto_does_without_it() -> None:
    assert made(EngineChoice.AUTO) == "python"


@pytest.mark.usefixtures("without_the_extension")
def test_asked_for_and_missing_is_an_error_with_its_remedy() -> None:
    with pytest.raises(EngineMissingError, match="no native engine") as caught:
        made(EngineChoice.NATIVE)
    assert "make native" in caught.value.remedy
    assert "python" in caught.value.remedy
