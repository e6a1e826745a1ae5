"""A moment is a value: it cannot be moved, and equal moments are equal."""

import pytest

from fairlead.clock import Now


def test_a_moment_stays_what_it_is() -> None:
    now = Now(monotonic=1.5, wall=1_700_000_000.0)
    with pytest.raises(AttributeError):
        now.monotonic = 2.0  # type: ignore[misc]
    assert now == Now(1.5, 1_700_000_000.0)
    assert len({now, Now(1.5, 1_700_000_000.0), Now(1.5, 0.0)}) == 2
