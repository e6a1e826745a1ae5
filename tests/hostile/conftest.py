"""Two services for all attacks: one with the times of every day, one in a hurry."""

import contextlib
from collections.abc import Iterator

import pytest

from tests.hostile.target import HASTY, Target, open_target
from tests.processes import Daemons


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with contextlib.closing(Daemons(tmp_path_factory.mktemp("hostile"))) as daemons:
        yield open_target(daemons, {})


@pytest.fixture(scope="session")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with contextlib.closing(Daemons(tmp_path_factory.mktemp("hasty"))) as daemons:
        yield open_target(daemons, HASTY)
