"""Which engine runs: asked for and missing is a refusal to start, never a silent second best."""

import ast
import enum
import importlib
import inspect
from pathlib import Path
from types import ModuleType

import structlog

from fairlead.reasons import Reason

_log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("fairlead.native")

_EXTENSION = "fairlead.native._engine"
_REMEDY = "install Rust and run `make native` or `pip install .` again"
_NONE = "this installation has no native engine"
#: What its callers count on, as types are checked against it.
_STUB = ast.parse(Path(__file__).with_name("_engine.pyi").read_text())


class EngineChoice(enum.StrEnum):
    """`auto` takes the fastest engine that this installation has."""

    AUTO = "auto"
    PYTHON = "python"
    NATIVE = "native"


class EngineMissingError(Exception):
    """The engine that the configuration asks for is not installed."""

    remedy = f"{_REMEDY}, or set `engine` to auto or python"


def is_native(choice: EngineChoice) -> bool:
    """Whether the compiled engine is to run, and can: fairlead.native._engine is there. One that is there and cannot is
    a warning. Raises EngineMissingError."""
    if choice is EngineChoice.PYTHON:
        return False
    try:
        # The extension is compiled, and not every installation has it.
        extension = importlib.import_module(_EXTENSION)
    except ImportError as error:
        missing = _what_is_missing(error)
    else:
        if _is_of_these_sources(extension):
            return True
        missing = "the native engine of this installation was built from other sources"
    if choice is EngineChoice.NATIVE:
        raise EngineMissingError(missing)
    if missing != _NONE:
        _log.warning("the Python engine runs", why=missing, remedy=f"{_REMEDY}, or set `engine` to python")
    return False


def _is_of_these_sources(extension: ModuleType) -> bool:
    """Whether it has the words and verbs that its callers know: one of another day is no better than none."""
    if sorted(getattr(extension, "REASONS", ())) != sorted(Reason):
        return False
    return all(_has(extension, row) for row in _STUB.body)


def _has(owner: object, row: ast.stmt) -> bool:
    """Whether a row of the stub is there: a name, or a verb with its parameters. Aliases of types are not."""
    match row:
        case ast.AnnAssign(target=ast.Name(name)):
            return hasattr(owner, name)
        case ast.FunctionDef(name=name, args=args) if name != "__new__":
            verb = getattr(owner, name, None)
            return verb is not None and list(inspect.signature(verb).parameters) == [arg.arg for arg in args.args]
        case ast.ClassDef(name=name, body=body):
            return all(_has(getattr(owner, name, None), verb) for verb in body)
    return True


def _what_is_missing(error: ImportError) -> str:
    if isinstance(error, ModuleNotFoundError):
        return _NONE
    return f"the native engine of this installation cannot be loaded ({error})"
