"""Which engine runs: asked for and missing is a refusal to start, never a silent second best."""

import enum

from fairlead.reasons import Reason


class EngineChoice(enum.StrEnum):
    """`auto` takes the fastest engine that this installation has."""

    AUTO = "auto"
    PYTHON = "python"
    NATIVE = "native"


class EngineMissingError(Exception):
    """The engine that the configuration asks for is not installed."""

    remedy = "install Rust and run `make native` or `pip install .` again, or set `engine` to auto or python"


def is_native(choice: EngineChoice) -> bool:
    """Whether the compiled engine is to run, and can: fairlead.native._engine is there. Raises EngineMissingError."""
    if choice is EngineChoice.PYTHON:
        return False
    try:
        # The extension is compiled, and not every installation has it.
        from fairlead.native._engine import REASONS
    except ImportError as error:
        missing = _what_is_missing(error)
    else:
        if sorted(REASONS) == sorted(Reason):
            return True
        missing = "the native engine of this installation was built from other sources"
    if choice is EngineChoice.NATIVE:
        raise EngineMissingError(missing)
    return False


def _what_is_missing(error: ImportError) -> str:
    if isinstance(error, ModuleNotFoundError):
        return "this installation has no native engine"
    return f"the native engine of this installation cannot be loaded ({error})"
