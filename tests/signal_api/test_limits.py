"""Token buckets on a clock of numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_api.limits import BucketTable, Rate, TokenBucket

RATE = Rate(per_second=10, burst=3)


def test_a_burst_and_then_the_rate() -> None:
    bucket = TokenBucket(RATE, now=0.0)
    assert [bucket.take(RATE, 0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert bucket.take(RATE, 0.0) == pytest.approx(0.1)
    assert bucket.take(RATE, 0.05) == pytest.approx(0.05)
    assert bucket.take(RATE, 0.1) == 0.0
    assert bucket.take(RATE, 100.0) == 0.0


@given(st.lists(st.floats(0, 0.5), max_size=60))
def test_no_more_than_the_rate_and_the_burst(pauses: list[float]) -> None:
    bucket = TokenBucket(RATE, now=0.0)
    now, granted = 0.0, 0
    for pause in pauses:
        now += pause
        granted += bucket.take(RATE, now) == 0.0
    assert granted <= RATE.burst + now * RATE.per_second + 1e-6


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = TokenBucket(RATE, now=100.0)
    for _ in range(3):
        bucket.take(RATE, 100.0)
    assert bucket.take(RATE, 50.0) > 0


def test_a_table_keeps_keys_apart_and_its_size() -> None:
    table = BucketTable(slots=1024, secret=bytes(16))
    for _ in range(3):
        assert table.take(b"one", RATE, 1.0) == 0.0
    assert table.take(b"one", RATE, 1.0) > 0
    assert table.take(b"other", RATE, 1.0) == 0.0
    assert all(table.take(b"%d" % number, RATE, 1000.0) == 0.0 for number in range(3))


def test_keys_that_meet_share_a_bucket() -> None:
    table = BucketTable(slots=1, secret=bytes(16))
    assert [table.take(b"%d" % number, RATE, 0.0) == 0.0 for number in range(4)] == [True, True, True, False]
