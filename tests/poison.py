"""Clock, dice, sockets and event loops that raise when a pure module touches them.

The tests that mirror a pure module run under it. Test tools need a clock of their own, so what counts is who calls:
the nearest frame that is not the standard library's.
"""

import asyncio
import functools
import os
import random
import secrets
import socket
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.architecture.house import PURE_TOPICS, ROOT, is_pure

POISONED: list[tuple[Any, str]] = [
    *((time, name) for name in dir(time) if callable(getattr(time, name)) and name not in ("struct_time", "tzset")),
    *((random, name) for name in random.__all__ if not isinstance(getattr(random, name), type)),
    (random.Random, "__init__"),
    *((random.SystemRandom, name) for name in ("random", "getrandbits", "randbytes")),
    *((secrets, name) for name in secrets.__all__ if name not in ("SystemRandom", "compare_digest")),
    *((os, name) for name in ("urandom", "getrandom", "getenv") if hasattr(os, name)),
    (socket.socket, "__init__"),
    (asyncio, "new_event_loop"),
    (asyncio, "get_event_loop"),
    (asyncio.BaseEventLoop, "__init__"),
]


class ImpureError(AssertionError):
    """A pure module asked the machine for what it should have been given."""


@contextmanager
def poisoned() -> Iterator[None]:
    """While it lasts, a pure module that reaches for the world gets an ImpureError."""
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in POISONED:
            patch.setattr(owner, name, _guarded(f"{owner.__name__}.{name}", getattr(owner, name)))
        yield


def is_about_pure_code(test: Path) -> bool:
    """Whether a test file mirrors a pure module; tests/x/test_y_z.py mirrors x.y_z, or is about an aspect of x.y."""
    folder = test.parent.relative_to(ROOT / "tests")
    words = test.stem.removeprefix("test_").split("_")
    mirrored = (".".join([*folder.parts, "_".join(words[:end])]) for end in range(1, len(words) + 1))
    return any(map(is_pure, mirrored)) or any(folder.is_relative_to(topic) for topic in PURE_TOPICS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if not is_about_pure_code(item.path):
        return (yield)
    with poisoned():
        return (yield)


def _guarded(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        caller = _first_outside_the_standard_library(sys._getframe(1))
        if is_pure(caller):
            raise ImpureError(f"{caller} calls {name}: time and entropy are arguments of pure code")
        return original(*args, **kwargs)

    return guarded


def _first_outside_the_standard_library(frame: FrameType | None) -> str:
    while frame is not None:
        name = str(frame.f_globals.get("__name__", ""))
        if name.partition(".")[0] not in sys.stdlib_module_names:
            return name
        frame = frame.f_back
    return ""
