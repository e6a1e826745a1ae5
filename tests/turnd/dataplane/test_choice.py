"""The engine that is asked for is the one that is made."""

import sys
from contextlib import closing

import pytest

from fairlead.native import EngineChoice, EngineMissingError
from turnd.dataplane.choice import make_engine, threads_for
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


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (3, 3), (4, 4), (64, 64)])
def test_two_cores_are_one_for_packets_and_one_for_the_rest(cores: int, threads: int) -> None:
    assert threads_for(cores) == threads


def test_asked_for_and_missing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fairlead.native._engine", None)
    assert made(EngineChoice.AUTO) == "python"
    with pytest.raises(EngineMissingError):
        made(EngineChoice.NATIVE)
