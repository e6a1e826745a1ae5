"""Token buckets: never more than burst + rate x time, never less for who asks slowly, and no memory that grows."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.clock import Now
from turnd.protocol.limiter import BucketTable

KEY = b"only we know it"


def at(moment: float) -> Now:
    return Now(monotonic=moment, wall=0.0)


def table(rate: float, burst: int, size: int = 4096) -> BucketTable:
    return BucketTable(size, rate, burst, KEY)


@pytest.mark.parametrize(("rate", "burst"), [(100, 500), (20, 40), (1, 1), (3, 7), (0.1, 1)])
def test_exactly_a_burst_passes_at_once(rate: float, burst: int) -> None:
    buckets = table(rate, burst)
    for moment in (0.0, 1e6, 2e6):
        assert [buckets.allow(b"source", at(moment)) for _ in range(burst + 3)] == [True] * burst + [False] * 3


def test_tokens_come_back_at_the_rate() -> None:
    buckets = table(100, 500)
    assert sum(buckets.allow(b"source", at(0)) for _ in range(600)) == 500
    assert not buckets.allow(b"source", at(0.004))
    assert sum(buckets.allow(b"source", at(1.0)) for _ in range(600)) == 100
    assert sum(buckets.allow(b"source", at(100.0)) for _ in range(600)) == 500


@given(
    st.floats(0.5, 200),
    st.integers(1, 50),
    st.lists(st.floats(0, 0.5) | st.just(0.0), max_size=80),
)
def test_a_bucket_is_a_bucket(rate: float, burst: int, pauses: list[float]) -> None:
    """Against tokens counted one by one; at the very edge of a token either answer is right."""
    buckets, tokens, now = table(rate, burst), float(burst), 0.0
    for pause in pauses:
        now += pause
        tokens = min(burst, tokens + pause * rate)
        allowed = buckets.allow(b"source", at(now))
        assert allowed or tokens < 1
        assert not allowed or tokens >= 0.5 - 1e-6
        tokens -= allowed


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.integers(1, 20))
def test_nobody_gets_more_than_burst_and_rate(pauses: list[float], burst: int) -> None:
    buckets, now, passed = table(10, burst), 0.0, 0
    for pause in pauses:
        now += pause
        passed += sum(buckets.allow(b"source", at(now)) for _ in range(5))
        assert passed <= burst + 10 * now + 0.5 + 1e-6


def test_who_asks_no_faster_than_the_rate_is_always_heard() -> None:
    buckets = table(20, 1)
    assert all(buckets.allow(b"source", at(turn / 20)) for turn in range(2000))


def test_one_source_does_not_use_up_another_ones_tokens() -> None:
    buckets = table(1, 5)
    for _ in range(100):
        buckets.allow(b"loud", at(0))
    assert buckets.allow(b"quiet", at(0))


def test_a_rate_of_zero_is_off() -> None:
    buckets = table(0, 0)
    assert all(buckets.allow(b"source", at(0)) for _ in range(10_000))


def test_a_table_of_one_bucket_is_shared_by_all() -> None:
    buckets = table(1, 1, size=1)
    assert buckets.allow(b"one", at(0))
    assert not buckets.allow(b"other", at(0))


def test_who_shares_a_bucket_depends_on_the_key() -> None:
    def shares(key: bytes) -> list[bool]:
        shared = []
        for source in range(64):
            buckets = BucketTable(8, 1, 1, key)
            buckets.allow(b"victim", at(0))
            shared.append(not buckets.allow(b"attacker %d" % source, at(0)))
        return shared

    assert shares(b"one key") != shares(b"another key")
    assert 0 < sum(shares(b"one key")) < 32


def test_ten_thousand_sources_leave_nothing_behind() -> None:
    buckets = table(100, 500)
    buckets.allow(b"warm", at(0))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for source in range(10_000):
            buckets.allow(source.to_bytes(8), at(1))
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 4096


@pytest.mark.parametrize(("size", "rate", "burst"), [(4096, 1, 0), (0, 1, 1), (4096, -1, 1), (4096, 5, -1)])
def test_a_limit_that_lets_nothing_through_is_refused(size: int, rate: float, burst: int) -> None:
    with pytest.raises(ValueError, match="0/s switches it off"):
        BucketTable(size, rate, burst, KEY)
