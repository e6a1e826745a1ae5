"""Deadlines on a clock that is moved by hand, and on the event loop."""

import asyncio
from functools import partial

from signal_api.timers import A_TURN, Timers
from tests.signal_api.worlds import ManualClock


async def test_callbacks_run_in_the_order_of_their_deadlines() -> None:
    clock = ManualClock()
    timers = Timers(clock)
    ran: list[str] = []
    for name, delay in (("c", 3.0), ("a", 1.0), ("b", 2.0), ("a2", 1.0)):
        timers.after(delay, lambda name=name: ran.append(name))  # type: ignore[misc]
    clock.move(0.9)
    timers.run_due()
    assert ran == []
    clock.move(1.1)
    timers.run_due()
    assert ran == ["a", "a2", "b"]
    clock.move(60)
    timers.run_due()
    assert ran[-1] == "c"
    timers.close()


async def test_cancelled_timers_do_not_pile_up() -> None:
    timers = Timers(ManualClock())
    ran: list[int] = []
    last = [timers.after(3600 + number, partial(ran.append, number)) for number in range(10)]
    for _ in range(20_000):
        timers.after(3600, lambda: None).cancel()
    assert len(timers) < 3000
    assert all(timer.callback is not None for timer in last)
    timers.close()


async def test_what_was_cancelled_or_closed_does_not_run() -> None:
    clock = ManualClock()
    timers = Timers(clock)
    ran: list[int] = []
    timers.after(1, lambda: ran.append(1)).cancel()
    timers.after(1, lambda: ran.append(2))
    timers.close()
    clock.move(5)
    timers.run_due()
    assert ran == []


async def test_a_callback_may_schedule_the_next() -> None:
    clock = ManualClock()
    timers = Timers(clock)
    ran: list[float] = []

    def again() -> None:
        ran.append(clock.now().monotonic)
        if len(ran) < 3:
            timers.after(0, again)

    timers.after(1, again)
    clock.move(1)
    timers.run_due()
    assert len(ran) == 3
    timers.close()


async def test_the_event_loop_wakes_for_the_first_deadline() -> None:
    clock = ManualClock()
    timers = Timers(clock)
    done = asyncio.Event()
    timers.after(1000, lambda: None)
    timers.after(0.01, done.set)
    clock.move(0.01)
    await asyncio.wait_for(done.wait(), 60)
    timers.close()


async def test_what_is_due_together_runs_in_several_turns() -> None:
    """Five hundred who connected together are pinged together; nobody else waits for all of them."""
    clock = ManualClock()
    timers = Timers(clock)
    ran: list[int] = []
    for number in range(2 * A_TURN + 1):
        timers.after(0.001, partial(ran.append, number))
    clock.move(0.002)
    seen = set()
    async with asyncio.timeout(20):
        while len(ran) <= 2 * A_TURN:
            seen.add(len(ran))
            await asyncio.sleep(0)
    assert seen == {0, A_TURN, 2 * A_TURN}
    assert ran == sorted(ran)
    timers.close()
