"""What fairlead.log.configure does in a test is undone, or later tests would write to streams that are closed."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root, uvicorn, access = (logging.getLogger(name) for name in (None, "uvicorn", "uvicorn.access"))
    handlers, level, uvicorn_level, access_disabled = root.handlers[:], root.level, uvicorn.level, access.disabled
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    uvicorn.setLevel(uvicorn_level)
    access.disabled = access_disabled
