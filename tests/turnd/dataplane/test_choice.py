"""The engine that is asked for is the one that is made."""

import sys
from contextlib import closing

import pytest

from fairlead.native import EngineChoice, EngineMissingError
from turnd.dataplane.choice import make_engine
from turnd.dataplane.contract import EngineSettings


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


def test_asked_for_and_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fairlead.native._engine", None)
    assert made(EngineChoice.AUTO) == "python"
    with pytest.raises(EngineMissingError):
        made(EngineChoice.NATIVE)
