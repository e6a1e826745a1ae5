"""The configuration file as its settings models declare it: sections, and every option in them."""

import inspect
import types
import typing
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from pydantic import BaseModel

from fairlead.config import DaemonSettings, Settings, SharedSettings
from tests.architecture.house import DAEMONS


class Option(NamedTuple):
    """One key. `above` is the key of its section; `commented` says that the section is not there by default: an entry
    of a list that is empty, or a section that is null."""

    model: type[BaseModel]
    field: str
    above: str
    commented: bool

    @property
    def key(self) -> str:
        return f"{self.above}.{self.field}".lstrip(".")

    @property
    def is_section(self) -> bool:
        """Whether it is a section that is always there; what it does is said by the keys in it."""
        annotation = self.model.model_fields[self.field].annotation
        return isinstance(annotation, type) and issubclass(annotation, BaseModel)


@cache
def daemon_sections() -> dict[str, type[DaemonSettings]]:
    """What each daemon's config module calls its section."""
    return {daemon: _section_of(daemon) for daemon in DAEMONS}


@cache
def sections() -> dict[str, type[Settings]]:
    """The daemons' sections, and the shared keys under ""."""
    return {"": SharedSettings, **daemon_sections()}


@cache
def options() -> list[Option]:
    """Every key of the configuration file."""
    return [option for name, model in sections().items() for option in _options(model, name, commented=False)]


def _section_of(daemon: str) -> type[DaemonSettings]:
    module = import_module(f"{daemon}.config")
    (section,) = {
        model
        for _, model in inspect.getmembers(module, inspect.isclass)
        if issubclass(model, DaemonSettings) and model.__module__.startswith(f"{daemon}.config")
    }
    return section


def _options(model: type[BaseModel], above: str, commented: bool) -> Iterator[Option]:
    for name, field in model.model_fields.items():
        option = Option(model, name, above, commented)
        yield option
        for inner, absent in _models_in(field.annotation):
            yield from _options(inner, option.key, commented or absent)


def _models_in(annotation: Any, absent: bool = False) -> Iterator[tuple[type[BaseModel], bool]]:
    """The models that a value of this annotation may hold, and whether there is none by default."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, absent
    arguments = typing.get_args(annotation)
    absent = absent or types.NoneType in arguments or typing.get_origin(annotation) in (list, tuple, dict)
    for argument in arguments:
        yield from _models_in(argument, absent)
