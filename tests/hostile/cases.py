"""The table of attacks: each has a name, and holds the service to the refusal that is documented for it."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import NamedTuple

from tests.hostile import attacks
from tests.hostile.target import Target

Deed = Callable[[Target], None]


class Attack(NamedTuple):
    """What is done. A hasty one is about time, and wants a service that is in a hurry."""

    name: str
    do: Deed
    is_hasty: bool


_known: dict[str, Attack] = {}


def attack(name: str, is_hasty: bool = False) -> Callable[[Deed], Deed]:
    """Enters what it decorates into the table."""

    def enter(deed: Deed) -> Deed:
        assert name not in _known, f"{name} stands in the table already"
        _known[name] = Attack(name, deed, is_hasty)
        return deed

    return enter


def all_attacks() -> list[Attack]:
    """The whole table."""
    for module in pkgutil.iter_modules(attacks.__path__):
        importlib.import_module(f"{attacks.__name__}.{module.name}")
    return list(_known.values())
