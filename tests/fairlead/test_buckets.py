"""Token buckets: never more than burst + rate x time, never less for who asks slowly, and no memory that grows."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.buckets import BucketTable, Rate, TokenBucket

KEY = b"only we know it"
RATE = Rate(per_second=10, burst=3)


def table(slots: int = 4096) -> BucketTable:
    return BucketTable(slots, KEY)


def allowed(buckets: BucketTable, rate: Rate, now: float, times: int, key: bytes = b"source") -> list[bool]:
    return [not buckets.take(key, rate, now) for _ in range(times)]


@pytest.mark.parametrize(("rate", "burst"), [(100, 500), (20, 40), (1, 1), (3, 7), (0.1, 1)])
def test_exactly_a_burst_passes_at_once(rate: float, burst: int) -> None:
    buckets = table()
    for moment in (0.0, 1e6, 2e6):
        assert allowed(buckets, Rate(rate, burst), moment, burst + 3) == [True] * burst + [False] * 3


def test_a_burst_and_then_the_rate() -> None:
    bucket = TokenBucket()
    assert [bucket.take(RATE, 0.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert bucket.take(RATE, 0.0) == pytest.approx(0.1)
    assert bucket.take(RATE, 0.02) == pytest.approx(0.08)
    assert bucket.take(RATE, 0.1) == 0.0
    assert bucket.take(RATE, 100.0) == 0.0


def test_tokens_come_back_at_the_rate() -> None:
    buckets, rate = table(), Rate(100, 500)
    assert sum(allowed(buckets, rate, 0, 600)) == 500
    assert not any(allowed(buckets, rate, 0.004, 1))
    assert sum(allowed(buckets, rate, 1.0, 600)) == 100
    assert sum(allowed(buckets, rate, 100.0, 600)) == 500


@given(
    st.floats(0.5, 200),
    st.integers(1, 50),
    st.lists(st.floats(0, 0.5) | st.just(0.0), max_size=80),
)
def test_a_bucket_is_a_bucket(rate: float, burst: int, pauses: list[float]) -> None:
    """Against tokens counted one by one; at the very edge of a token either answer is right."""
    bucket, tokens, now = TokenBucket(), float(burst), 0.0
    for pause in pauses:
        now += pause
        tokens = min(burst, tokens + pause * rate)
        wait = bucket.take(Rate(rate, burst), now)
        assert not wait or tokens < 1
        assert wait or tokens >= 0.5 - 1e-6
        tokens -= not wait


@given(st.floats(0.5, 200), st.integers(1, 50), st.lists(st.floats(0, 0.5), max_size=40))
def test_whoever_waits_as_long_as_is_said_gets_a_token(rate: float, burst: int, pauses: list[float]) -> None:
    bucket, now = TokenBucket(), 0.0
    for pause in pauses:
        now += pause
        now += bucket.take(Rate(rate, burst), now)
    assert bucket.take(Rate(rate, burst), now + 1 / rate) == 0.0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.integers(1, 20))
def test_nobody_gets_more_than_burst_and_rate(pauses: list[float], burst: int) -> None:
    buckets, now, passed = table(), 0.0, 0
    for pause in pauses:
        now += pause
        passed += sum(allowed(buckets, Rate(10, burst), now, 5))
        assert passed <= burst + 10 * now + 0.5 + 1e-6


def test_who_asks_no_faster_than_the_rate_is_always_heard() -> None:
    buckets = table()
    assert all(allowed(buckets, Rate(20, 1), turn / 20, 1) for turn in range(2000))


def test_one_source_does_not_use_up_another_ones_tokens() -> None:
    buckets = table()
    allowed(buckets, Rate(1, 5), 0, 100, b"loud")
    assert allowed(buckets, Rate(1, 5), 0, 1, b"quiet") == [True]


def test_a_rate_of_zero_is_off() -> None:
    assert all(allowed(table(), Rate(0, 0), 0, 10_000))
    assert TokenBucket().take(Rate(0, 0), 0.0) == 0.0


def test_a_clock_that_goes_back_gives_nothing() -> None:
    bucket = TokenBucket()
    for _ in range(3):
        bucket.take(RATE, 100.0)
    assert bucket.take(RATE, 50.0) > 0


def test_a_table_of_one_bucket_is_shared_by_all() -> None:
    buckets = table(1)
    assert allowed(buckets, Rate(1, 1), 0, 1, b"one") == [True]
    assert allowed(buckets, Rate(1, 1), 0, 1, b"other") == [False]


def test_who_shares_a_bucket_depends_on_the_key() -> None:
    def shares(key: bytes) -> list[bool]:
        shared = []
        for source in range(64):
            buckets = BucketTable(8, key)
            buckets.take(b"victim", Rate(1, 1), 0)
            shared.append(bool(buckets.take(b"attacker %d" % source, Rate(1, 1), 0)))
        return shared

    assert shares(b"one key") != shares(b"another key")
    assert 0 < sum(shares(b"one key")) < 32


def test_ten_thousand_sources_leave_nothing_behind() -> None:
    buckets, rate = table(), Rate(100, 500)
    buckets.take(b"warm", rate, 0)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for source in range(10_000):
            buckets.take(source.to_bytes(8), rate, 1)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 4096


def test_who_asks_what_a_token_would_cost_takes_none() -> None:
    buckets = table()
    for _ in range(5):
        assert buckets.wait(b"source", RATE, 0.0) == 0.0
    assert allowed(buckets, RATE, 0.0, 4) == [True, True, True, False]
    assert buckets.wait(b"source", RATE, 0.0) == pytest.approx(0.1)
    assert buckets.wait(b"source", Rate(0, 0), 0.0) == 0.0
