"""The heap of deadlines against a plain dict, under any sequence of operations."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from turnd.protocol.deadlines import Deadlines

keys = st.integers(0, 30)
moments = st.integers(0, 50).map(float)


class DeadlinesMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.deadlines: Deadlines[int] = Deadlines()
        #: what is true: when, and as how manieth it was set
        self.model: dict[int, tuple[float, int]] = {}
        self.sets = 0

    @rule(key=keys, when=moments)
    def set_one(self, key: int, when: float) -> None:
        self.deadlines.set(key, when)
        self.sets += 1
        self.model[key] = (when, self.sets)

    @rule(key=keys)
    def clear_one(self, key: int) -> None:
        self.deadlines.clear(key)
        self.model.pop(key, None)

    @rule(moment=moments)
    def pop_all_due(self, moment: float) -> None:
        expected = sorted((key for key in self.model if self.model[key][0] <= moment), key=self.model.__getitem__)
        popped = []
        while (key := self.deadlines.pop_due(moment)) is not None:
            popped.append(key)
            del self.model[key]
        assert popped == expected

    @invariant()
    def agrees(self) -> None:
        assert self.deadlines.next() == min((when for when, _ in self.model.values()), default=None)
        assert len(self.deadlines) == len(self.model)
        assert all((key in self.deadlines) is (key in self.model) for key in range(31))


TestDeadlines: Any = DeadlinesMachine.TestCase
TestDeadlines.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)


def rows(deadlines: Deadlines[Any]) -> int:
    return len(deadlines._heap)


def test_dead_rows_stay_bounded_while_a_deadline_is_moved() -> None:
    deadlines: Deadlines[str] = Deadlines()
    for moment in range(10_000):
        deadlines.set("refreshed", float(moment))
        assert rows(deadlines) <= 2 * len(deadlines) + 64
    assert deadlines.next() == 9999.0


def test_dead_rows_stay_bounded_while_deadlines_are_cleared() -> None:
    deadlines: Deadlines[int] = Deadlines()
    for key in range(1000):
        deadlines.set(key, float(key))
    for key in range(999, 0, -1):
        deadlines.clear(key)
        assert rows(deadlines) <= 2 * len(deadlines) + 64
    assert deadlines.next() == 0.0


def test_sweeping_keeps_the_order() -> None:
    deadlines: Deadlines[str] = Deadlines()
    moments = {f"key {number}": float(number * 7919 % 1009) for number in range(1000)}
    for key, when in moments.items():
        deadlines.set(key, when + 5000)
    for key, when in moments.items():
        deadlines.set(key, when)
    for key in list(moments)[::3]:
        deadlines.clear(key)
        del moments[key]
    assert rows(deadlines) <= 2 * len(deadlines) + 64
    popped = [deadlines.pop_due(2000.0) for _ in moments]
    assert popped == sorted(moments, key=lambda key: moments[key])
    assert deadlines.pop_due(1e9) is None


def test_what_follows_from_one_may_clear_the_next() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("allocation", 1.0)
    deadlines.set("its permission", 1.0)
    assert deadlines.pop_due(1.0) == "allocation"
    deadlines.clear("its permission")
    assert deadlines.pop_due(1.0) is None


def test_a_deadline_is_due_at_its_moment_and_not_before() -> None:
    deadlines: Deadlines[str] = Deadlines()
    deadlines.set("permission", 300.0)
    assert deadlines.pop_due(299.999) is None
    assert deadlines.pop_due(300.0) == "permission"
    assert deadlines.next() is None


def test_keys_need_no_order() -> None:
    deadlines: Deadlines[object] = Deadlines()
    first, second = object(), object()
    deadlines.set(first, 1.0)
    deadlines.set(second, 1.0)
    assert [deadlines.pop_due(1.0), deadlines.pop_due(1.0)] == [first, second]
