"""Which engine runs: what was asked for, or nothing."""

import pytest

from turnd.dataplane.choice import EngineChoice, EngineMissingError, make_engine
from turnd.dataplane.contract import EngineSettings


@pytest.mark.parametrize("choice", [EngineChoice.AUTO, EngineChoice.PYTHON])
def test_the_python_engine_is_always_there(choice: EngineChoice) -> None:
    engine = make_engine(choice, EngineSettings())
    assert engine.name == "python"
    engine.close()


def test_an_engine_that_is_missing_is_not_replaced_in_silence() -> None:
    with pytest.raises(EngineMissingError) as caught:
        make_engine(EngineChoice.NATIVE, EngineSettings())
    assert "auto or python" in caught.value.remedy
