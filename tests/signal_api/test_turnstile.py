"""The turnstile, with the turns of the loop in hand."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest

from signal_api.turnstile import A_TURN, MOST_BYTES, Turnstile


class Turns:
    """A loop that turns when it is told to."""

    def __init__(self) -> None:
        self._due: list[Callable[[], None]] = []
        self.turnstile = Turnstile(self._due.append)
        self.passed: list[str] = []

    def come(self, source: str, count: int = 1) -> None:
        for number in range(count):
            assert self.turnstile.enter(source, partial(self.passed.append, f"{source}{number}"))

    def turn(self) -> list[str]:
        """Who passes in the next turn."""
        due, before = self._due.copy(), len(self.passed)
        self._due.clear()
        for do in due:
            do()
        return self.passed[before:]

    @property
    def is_idle(self) -> bool:
        return not self._due


@pytest.fixture
def turns() -> Turns:
    return Turns()


def test_who_comes_alone_passes_at_once(turns: Turns) -> None:
    turns.come("a", A_TURN)
    assert len(turns.passed) == A_TURN
    assert len(turns.turnstile) == 0


def test_of_many_a_few_pass_in_each_turn_and_in_their_order(turns: Turns) -> None:
    turns.come("a", 3 * A_TURN + 1)
    assert len(turns.passed) == A_TURN
    assert [len(turns.turn()) for _ in range(4)] == [A_TURN, A_TURN, 1, 0]
    assert turns.passed == [f"a{number}" for number in range(3 * A_TURN + 1)]
    assert turns.is_idle, "nobody waits, and the loop sleeps"


def test_a_source_waits_for_itself(turns: Turns) -> None:
    turns.come("crowd", 50 * A_TURN)
    turns.come("guest")
    assert "guest0" in turns.turn()
    assert len(turns.turnstile) == 48 * A_TURN + 1


def test_lines_take_turns(turns: Turns) -> None:
    turns.come("x", A_TURN)
    for source in "abc":
        turns.come(source, 2)
    passed = [name for _ in range(6 // A_TURN) for name in turns.turn()]
    assert passed == ["a0", "b0", "c0", "a1", "b1", "c1"]


def test_whoever_comes_while_others_wait_does_not_pass_them(turns: Turns) -> None:
    turns.come("a", 2 * A_TURN)
    turns.turn()
    turns.come("b")
    assert len(turns.turnstile) == 1
    assert turns.turn() == ["b0"]


def test_what_waits_has_so_much_room(turns: Turns) -> None:
    turns.come("a", A_TURN)
    turnstile = turns.turnstile
    assert turnstile.enter("a", lambda: None, MOST_BYTES - 1)
    assert not turnstile.enter("b", pytest.fail, 2)
    assert turnstile.enter("b", lambda: None, 1)
    turns.turn()
    assert len(turnstile) == 0
    turns.come("a", A_TURN)
    assert turnstile.enter("b", lambda: None, MOST_BYTES), "there is room again"


def test_who_fails_keeps_nobody_waiting(turns: Turns) -> None:
    def fail() -> None:
        raise RuntimeError

    turns.come("a", A_TURN)
    turns.turnstile.enter("b", fail)
    turns.come("a")
    with pytest.raises(RuntimeError):
        turns.turn()
    assert turns.turn() == ["a0"]


async def test_it_can_be_awaited(turns: Turns) -> None:
    async def pass_by(name: str) -> None:
        await turns.turnstile.wait(name)
        turns.passed.append(name)

    tasks = [asyncio.create_task(pass_by(f"{number}")) for number in range(A_TURN + 2)]
    await asyncio.sleep(0)
    assert len(turns.passed) == A_TURN
    tasks[A_TURN].cancel()
    await asyncio.sleep(0)
    turns.turn()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert turns.passed == [f"{number}" for number in range(A_TURN + 2) if number != A_TURN]


async def test_it_turns_with_the_loop() -> None:
    passed: list[int] = []
    turnstile = Turnstile()
    for number in range(3 * A_TURN):
        turnstile.enter("a", partial(passed.append, number))
    seen = []
    for _ in range(4):
        seen.append(len(passed))
        await asyncio.sleep(0)
    assert seen == [A_TURN, 2 * A_TURN, 3 * A_TURN, 3 * A_TURN]
