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

    remedy = "install Rust and run `make native` or `pip install .` again, or set turnd.engine to auto or python"


def make_engine(choice: EngineChoice, settings: EngineSettings) -> DataPlane:
    """The engine of that name; raises EngineMissingError."""
    if choice is EngineChoice.PYTHON:
        return PythonEngine(settings)
    try:
        # The extension is compiled, and not every installation has it.
        from turnd.dataplane.native import NativeEngine
    except ImportError as error:
        if choice is EngineChoice.NATIVE:
            raise EngineMissingError(_what_is_missing(error)) from None
        return PythonEngine(settings)
    return NativeEngine(settings)


def _what_is_missing(error: ImportError) -> str:
    if isinstance(error, ModuleNotFoundError):
        return "this installation has no native engine"
    return f"the native engine of this installation cannot be loaded ({error})"
