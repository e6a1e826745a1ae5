"""No option does nothing: each key of the configuration is read, as an attribute of its model, by what it is for."""

from collections.abc import Iterator

import pytest
from pydantic import BaseModel

from fairlead.config import Settings
from tests.architecture.references import references
from tests.architecture.sections import Option, options


@pytest.fixture(scope="module")
def uses() -> set[str]:
    """What is referred to outside the configuration, also by way of its properties and functions."""
    found = {_defined(reference.target) for reference in references() if not _is_configuration(reference.module)}
    inside = [reference for reference in references() if _is_configuration(reference.module)]
    while more := {_defined(reference.target) for reference in inside if reference.source in found} - found:
        found |= more
    return found


@pytest.mark.parametrize("option", options(), ids=lambda option: option.key)
def test_the_option_is_read(option: Option, uses: set[str]) -> None:
    holders = [model for model in _family(option.model) if option.field in model.model_fields]
    reads = uses & {f"{_name(model)}.{option.field}" for model in holders}
    assert reads, f"nobody reads {option.key}: what does it do?"


def test_an_option_that_nobody_reads_would_be_seen(uses: set[str]) -> None:
    assert "fairlead.config.keys.LogSettings.level" in uses
    assert "fairlead.config.keys.LogSettings.no_such_option" not in uses


def _is_configuration(module: str) -> bool:
    """Whether a module declares and loads options; reading one there is not using it."""
    return module.split(".")[1:2] == ["config"]


def _family(model: type[BaseModel]) -> list[type[BaseModel]]:
    """A model with those it inherits from and those that inherit from it: a field may be read through any of them."""
    return [parent for parent in model.__mro__ if issubclass(parent, BaseModel)] + list(_below(model))


def _below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for child in model.__subclasses__():
        yield child
        yield from _below(child)


def _name(model: type) -> str:
    return f"{model.__module__}.{model.__qualname__}"


def _defined(target: str) -> str:
    """A property or method of a settings model under the name of the class that defines it; all else as it is."""
    owner, _, attribute = target.rpartition(".")
    model = next((model for model in _below(Settings) if _name(model) == owner), None)
    if model is None or attribute in model.model_fields:
        return target
    return next((f"{_name(parent)}.{attribute}" for parent in model.__mro__ if attribute in vars(parent)), target)
