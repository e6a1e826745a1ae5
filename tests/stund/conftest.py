"""stund with each of its engines."""

import pytest

from fairlead.native import EngineChoice, EngineMissingError, is_native
from tests.skipping import skip_for_lack_of
from tests.stund import running


@pytest.fixture(params=["python", "native"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every stund of the test runs with this engine, unless it is configured otherwise."""
    name: str = request.param
    try:
        is_native(EngineChoice(name))
    except EngineMissingError as missing:
        skip_for_lack_of(f"the engine {name}", enable=missing.remedy)
    monkeypatch.setitem(running.LOOPBACK, "engine", name)
    return name
