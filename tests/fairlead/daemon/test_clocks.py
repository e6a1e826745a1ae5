import time

from fairlead.daemon import SystemClock


def test_both_clocks_are_the_machines() -> None:
    clock = SystemClock()
    before, now, after = time.monotonic(), clock.now(), time.monotonic()
    assert before <= now.monotonic <= after
    assert abs(now.wall - time.time()) < 5
    assert clock.monotonic() >= now.monotonic


def test_entropy_has_the_length_that_was_asked_and_never_repeats() -> None:
    drawn = [SystemClock().entropy(12) for _ in range(100)]
    assert {len(some) for some in drawn} == {12}
    assert len(set(drawn)) == 100
