"""No option does nothing: each key of the configuration is read, as an attribute of its model, by what it is for."""

from collections.abc import Iterator
from functools import cache

import pytest
from pydantic import BaseModel

from tests.architecture.attribute_reads import reads
from tests.architecture.sections import Option, options


@pytest.mark.parametrize("option", options(), ids=lambda option: option.key)
def test_the_option_is_read(option: Option) -> None:
    declaring = [c for c in [*option.model.__mro__, *_below(option.model)] if issubclass(c, BaseModel)]
    owners = {f"{c.__module__}.{c.__qualname__}" for c in declaring if option.field in c.model_fields}
    assert any((owner, option.field) in _uses() for owner in owners), f"{option.key} changes nothing: nobody reads it"


def test_an_option_that_nobody_reads_would_be_seen() -> None:
    assert ("fairlead.config.keys.LogSettings", "level") in _uses()
    assert ("fairlead.config.keys.LogSettings", "no_such_option") not in _uses()


@cache
def _uses() -> set[tuple[str, str]]:
    """(class, attribute) of what is read outside the configuration, also by way of its properties and functions."""
    uses = {(read.owner, read.attribute) for read in reads() if not _is_configuration(read.module)}
    inside = [read for read in reads() if _is_configuration(read.module)]
    while True:
        called = {attribute for owner, attribute in uses if not owner}
        more = {(read.owner, read.attribute) for read in inside if read.reader in called} - uses
        if not more:
            return uses
        uses |= more


def _is_configuration(module: str) -> bool:
    """Whether a module declares and loads options; reading one there is not using it."""
    return module.split(".")[1:2] == ["config"]


def _below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for child in model.__subclasses__():
        yield child
        yield from _below(child)
