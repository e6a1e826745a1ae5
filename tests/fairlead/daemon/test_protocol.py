"""Every daemon keeps the promise that the runtime relies on."""

import inspect
from importlib import import_module
from typing import Any

import pytest

from fairlead.config import SECTIONS, DaemonSettings
from fairlead.daemon import Daemon

METHODS = ("start", "reload", "readiness", "about", "drain", "stop")


def daemon_class(section: str) -> type[Any]:
    """The class in the daemon's main module that is run."""
    module = import_module(f"{section}.__main__")
    (found,) = [
        candidate
        for _, candidate in inspect.getmembers(module, inspect.isclass)
        if candidate.__module__.startswith(f"{section}.") and hasattr(candidate, "readiness")
    ]
    return found


@pytest.mark.parametrize("section", SECTIONS)
def test_its_words_are_those_of_the_configuration_and_the_metrics(section: str) -> None:
    daemon = daemon_class(section)
    assert daemon.name == section
    assert daemon.prefix in (section, "signal")
    assert issubclass(daemon.settings, DaemonSettings)


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("method", METHODS)
def test_its_methods_are_the_protocols(section: str, method: str) -> None:
    promised = inspect.signature(getattr(Daemon, method)).parameters
    kept = getattr(daemon_class(section), method)
    assert inspect.iscoroutinefunction(kept) is inspect.iscoroutinefunction(getattr(Daemon, method))
    assert list(inspect.signature(kept).parameters) == list(promised)
