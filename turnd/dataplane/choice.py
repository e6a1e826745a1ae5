"""Which engine runs: asked for and missing is a refusal to start, never a silent second best."""

import enum

from turnd.dataplane.contract import DataPlane, EngineSettings
from turnd.dataplane.python import PythonEngine


class EngineChoice(enum.StrEnum):
    """`auto` takes the fastest engine that this installation has."""

    AUTO = "auto"
    PYTHON = "python"
    NATIVE = "native"


class EngineMissingError(Exception):
    """The engine that the configuration asks for is not installed."""

    remedy = "set turnd.engine to auto or python"


def make_engine(choice: EngineChoice, settings: EngineSettings) -> DataPlane:
    """The engine of that name; raises EngineMissingError."""
    if choice is EngineChoice.NATIVE:
        raise EngineMissingError("this installation has no native engine")
    return PythonEngine(settings)
