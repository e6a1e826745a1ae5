"""When a loop rests, on a clock that only the test moves."""

from collections.abc import Iterable
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_api.transports.lull import BUSY, SPAN, Lull

#: seconds that a frame takes
_WORK = 25e-6


class Day(NamedTuple):
    """What became of parcels: the turns that they were read in, and how long the loop rested, each time."""

    turns: int
    rests: list[float]


def live(arrivals: Iterable[float]) -> Day:
    """A loop that reads what is there, then rests if it is told to, until everything was read."""
    lull, waiting, now, turns = Lull(), sorted(arrivals), 0.0, 0
    rests: list[float] = []
    while waiting:
        now, turns, asks = max(now, waiting[0]), turns + 1, False
        ready = [parcel for parcel in waiting if parcel <= now]
        for _ in ready:
            if lull.is_open:
                lull.count += 1
            else:
                asks = lull.heard(now)
            now += _WORK
        del waiting[: len(ready)]
        if asks:
            rests.append(lull.rest(now))
            now += rests[-1]
    return Day(turns, rests)


def at_pace(rate: float, parcels: int) -> Iterable[float]:
    return (number / rate for number in range(parcels))


def test_several_frames_share_a_turn_when_many_come() -> None:
    day, unknown = live(at_pace(10_000, 5000)), 200
    assert day.turns - unknown < 5000 / (10_000 * SPAN)
    assert min(day.rests) > SPAN / 2


def test_a_lull_is_over_when_the_next_turn_is_due() -> None:
    """However long the turn took, the next begins no later than that."""
    assert max(live(at_pace(10_000, 5000)).rests) <= SPAN - _WORK + 1e-12


@pytest.mark.parametrize("rate", [1, 100, 2000, 0.9 * BUSY])
def test_nobody_waits_while_little_comes(rate: float) -> None:
    day = live(at_pace(rate, 2000))
    assert (day.turns, day.rests) == (2000, [])


def test_a_full_loop_does_not_rest() -> None:
    """More comes than it can read: each turn takes longer than a lull would."""
    rests = live(at_pace(1.5 / _WORK, 5000)).rests
    assert rests[20:] == [0.0] * len(rests[20:])


def test_a_burst_of_one_browser_is_not_many() -> None:
    assert not live([3.0 + number * 1e-4 for number in range(60)]).rests


def test_what_was_busy_long_ago_is_so_no_more() -> None:
    lull = Lull()
    for moment in at_pace(10_000, 1000):
        if lull.heard(moment):
            lull.rest(moment)
    assert lull.heard(0.11), "busy"
    lull.rest(0.11)
    assert not lull.heard(10.0), "not any more, from the first parcel on"


@given(st.lists(st.floats(0, 0.002), max_size=300))
def test_no_rest_is_longer_than_a_span(gaps: list[float]) -> None:
    moment, arrivals = 0.0, []
    for gap in gaps:
        moment += gap
        arrivals.append(moment)
    assert all(0.0 <= rest <= SPAN for rest in live(arrivals).rests)
