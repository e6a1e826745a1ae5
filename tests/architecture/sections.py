"""The configuration file as its settings models declare it: sections, and every option in them."""

import inspect
import typing
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from pydantic import BaseModel

from fairlead.config import DaemonSettings, Settings, SharedSettings
from tests.architecture.house import DAEMONS


class Option(NamedTuple):
    """One key: `above` is the key of the section that it stands in, `in_list` whether that is an entry of a list."""

    model: type[BaseModel]
    field: str
    above: str
    in_list: bool

    @property
    def key(self) -> str:
        return f"{self.above}.{self.field}".lstrip(".")


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
    return [option for name, model in sections().items() for option in _options(model, name, in_list=False)]


def _section_of(daemon: str) -> type[DaemonSettings]:
    module = import_module(f"{daemon}.config")
    (section,) = {
        model
        for _, model in inspect.getmembers(module, inspect.isclass)
        if issubclass(model, DaemonSettings) and model.__module__.startswith(f"{daemon}.config")
    }
    return section


def _options(model: type[BaseModel], above: str, in_list: bool) -> Iterator[Option]:
    for name, field in model.model_fields.items():
        option = Option(model, name, above, in_list)
        yield option
        for inner, of_list in _models_in(field.annotation):
            yield from _options(inner, option.key, in_list or of_list)


def _models_in(annotation: Any, of_list: bool = False) -> Iterator[tuple[type[BaseModel], bool]]:
    """The models that a value of this annotation may hold, and whether as entries of a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, of_list
    for argument in typing.get_args(annotation):
        yield from _models_in(argument, of_list or typing.get_origin(annotation) in (list, tuple, dict))
