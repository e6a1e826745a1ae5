"""The pool of ports against a plain dict: every port is in exactly one hand, whatever happens in whatever order."""

import hashlib
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from fairlead.clock import Entropy, Now
from turnd.protocol.ports import FOREIGN_SECONDS, LEAST_REST, Census, PortPool

HOLD = 30.0
OWNERS = ("alice", "bob")


def dice(seed: int = 0) -> Entropy:
    """Bytes that are even enough to count with, and the same each time."""
    thrown = 0

    def throw(size: int) -> bytes:
        nonlocal thrown
        thrown += 1
        return hashlib.sha256(f"{seed} {thrown}".encode()).digest()[:size]

    return throw


def at(moment: float) -> Now:
    return Now(monotonic=moment, wall=0.0)


class PoolMachine(RuleBasedStateMachine):
    """`back` says when a port that is held or foreign comes back; what is in neither is used or free. `held` is the
    line of those that are lent early, the oldest first."""

    @initialize(first=st.integers(1, 65535), size=st.integers(1, 9), seed=st.integers(0, 5))
    def make(self, first: int, size: int, seed: int) -> None:
        last = min(first + size - 1, 65535)
        self.range = range(first, last + 1)
        self.pool = PortPool(first, last, HOLD)
        self.entropy = dice(seed)
        self.now = 0.0
        self.used: list[int] = []
        self.back: dict[int, tuple[float, str]] = {}
        self.owners: dict[int, str] = {}

    taken = Bundle("taken")

    def free(self) -> set[int]:
        away = {port for port, (moment, _) in self.back.items() if moment > self.now}
        return set(self.range) - away - set(self.used)

    def lend_until(self, is_enough: Callable[[set[int]], bool]) -> set[int]:
        """What is free when the oldest held ports have come back early, as few as it takes."""
        held = [(moment, port) for port, (moment, hand) in self.back.items() if hand == "held"]
        for moment, port in sorted(held, key=lambda row: row[0]):
            if is_enough(self.free()) or moment - HOLD + LEAST_REST > self.now:
                break
            del self.back[port]
        return self.free()

    def note(self, port: int) -> None:
        assert port in self.free()
        self.back.pop(port, None)
        self.used.append(port)

    @rule()
    def take(self) -> None:
        free = self.lend_until(bool)
        port = self.pool.take(self.entropy, at(self.now))
        assert (port is None) is (not free)
        if port is not None:
            self.note(port)

    @rule(with_next=st.booleans())
    def take_even(self, with_next: bool) -> None:
        def suit(free: set[int]) -> set[int]:
            return {port for port in free if port % 2 == 0 and (not with_next or port + 1 in free)}

        suitable = suit(self.lend_until(lambda free: bool(suit(free))))
        port = self.pool.take_even(self.entropy, at(self.now), with_next)
        assert (port is None) is (not suitable)
        if port is not None:
            assert port in suitable
            self.note(port)
            if with_next:
                self.note(port + 1)

    @rule(index=st.integers(0, 100), owner=st.sampled_from(OWNERS))
    def release(self, index: int, owner: str) -> None:
        if self.used:
            port = self.used.pop(index % len(self.used))
            self.pool.release(port, owner, at(self.now))
            self.back[port] = (self.now + HOLD, "held")
            self.owners[port] = owner

    @rule(index=st.integers(0, 100))
    def find_foreign(self, index: int) -> None:
        if self.used:
            port = self.used.pop(index % len(self.used))
            self.pool.foreign(port, at(self.now))
            self.back[port] = (self.now + FOREIGN_SECONDS, "foreign")

    @rule(index=st.integers(0, 100))
    def give_back(self, index: int) -> None:
        """A port that was never bound is free at once."""
        if self.used:
            self.pool.give_back(self.used.pop(index % len(self.used)))

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 2.0, 28.0, 29.5, 30.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(step=st.integers(-1, 9), find_foreign=st.booleans())
    def give_back_what_is_not_in_use(self, step: int, find_foreign: bool) -> None:
        port = self.range[0] + step
        if port not in self.used:
            give_back = self.pool.foreign if find_foreign else partial(self.pool.release, owner="alice")
            with pytest.raises(ValueError, match="is not in use"):
                give_back(port, now=at(self.now))

    @invariant()
    def census_is_exact(self) -> None:
        if not hasattr(self, "pool"):
            return
        hands = Counter(hand for moment, hand in self.back.values() if moment > self.now)
        resting = [port for port, (moment, hand) in self.back.items() if hand == "held" and moment > self.now]
        owners = Counter(self.owners[port] for port in resting)
        assert all(self.pool.held_of(owner, at(self.now)) == owners[owner] for owner in OWNERS)
        census = self.pool.census(at(self.now))
        assert census == Census(len(self.free()), len(self.used), hands["held"], hands["foreign"])
        assert sum(census) == len(self.pool) == len(self.range)


TestPool: Any = PoolMachine.TestCase
TestPool.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)


def test_a_released_port_is_held_back_while_others_are_free() -> None:
    pool = PortPool(5000, 5001, HOLD)
    first = pool.take(dice(), at(0))
    assert first is not None
    other = 10001 - first
    pool.release(first, "alice", at(10))
    assert pool.take(dice(), at(39.9)) == other
    pool.release(other, "alice", at(39.9))
    assert pool.take(dice(), at(40)) == first


def test_where_nothing_else_is_free_the_port_that_has_rested_longest_is_lent_early() -> None:
    pool, entropy = PortPool(5000, 5002, HOLD), dice()
    ports = [pool.take(entropy, at(0)) or 0 for _ in range(3)]
    for moment, port in enumerate(ports):
        pool.release(port, "alice", at(10 + moment))
    assert pool.take(entropy, at(10 + LEAST_REST - 0.001)) is None
    assert [pool.take(entropy, at(11 + LEAST_REST)) for _ in range(3)] == [*ports[:2], None]
    assert pool.held_of("alice", at(13)) == 1
    assert pool.held_of("alice", at(42)) == 0


def test_a_foreign_port_is_left_alone_for_a_minute() -> None:
    pool = PortPool(5000, 5000, 0.0)
    pool.take(dice(), at(0))
    pool.foreign(5000, at(10))
    assert pool.census(at(10)) == Census(free=0, used=0, held=0, foreign=1)
    assert pool.take(dice(), at(69.9)) is None
    assert pool.take(dice(), at(70)) == 5000


def test_without_a_hold_a_port_is_free_at_once() -> None:
    pool = PortPool(5000, 5000, 0.0)
    for moment in range(3):
        assert pool.take(dice(), at(moment)) == 5000
        pool.release(5000, "alice", at(moment))


def test_a_full_pool_says_so_and_recovers_whole() -> None:
    pool, entropy = PortPool(49152, 49167, HOLD), dice()
    taken = [pool.take(entropy, at(0)) for _ in range(16)]
    assert sorted(port for port in taken if port) == list(range(49152, 49168))
    assert pool.take(entropy, at(0)) is None
    assert pool.take_even(entropy, at(0), with_next=False) is None
    for port in taken:
        pool.release(port or 0, "alice", at(1))
    assert pool.census(at(31)) == Census(free=16, used=0, held=0, foreign=0)


def test_many_turns_leave_the_census_exact() -> None:
    pool, entropy = PortPool(49152, 49167, 1.0), dice()
    for turn in range(20_000):
        port = pool.take_even(entropy, at(turn), with_next=True)
        assert port is not None
        pool.release(port, "alice", at(turn))
        pool.release(port + 1, "alice", at(turn))
    assert pool.census(at(20_001)) == Census(free=16, used=0, held=0, foreign=0)


def test_an_odd_first_port_has_no_even_one_below_it() -> None:
    pool, entropy = PortPool(5001, 5004, HOLD), dice()
    assert pool.take_even(entropy, at(0), with_next=True) == 5002
    assert pool.take_even(entropy, at(0), with_next=True) is None
    assert pool.take_even(entropy, at(0), with_next=False) == 5004
    assert pool.take(entropy, at(0)) == 5001
    assert pool.take(entropy, at(0)) is None


@pytest.mark.parametrize("byte", [b"\x00", b"\xff"])
def test_any_entropy_names_a_free_port(byte: bytes) -> None:
    pool = PortPool(49152, 65535, HOLD)
    seen = {pool.take(lambda size: byte * size, at(0)) for _ in range(100)}
    assert len(seen) == 100
    assert all(port in range(49152, 65536) for port in seen)


def test_every_port_is_drawn_equally_often() -> None:
    """Of 12 ports each turns up 500 times in 6000, give or take five standard deviations."""
    pool, entropy = PortPool(5000, 5011, 0.0), dice()
    drawn: Counter[int | None] = Counter()
    for _ in range(6000):
        port = pool.take(entropy, at(0))
        drawn[port] += 1
        pool.release(port or 0, "alice", at(0))
    assert len(drawn) == 12
    assert all(abs(count - 500) < 5 * (6000 * 1 / 12 * 11 / 12) ** 0.5 for count in drawn.values())


@pytest.mark.parametrize(("first", "last"), [(0, 10), (10, 9), (1, 65536), (-5, 5)])
def test_what_is_no_range_is_refused(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="write the lower one first, both from 1 to 65535"):
        PortPool(first, last, HOLD)
