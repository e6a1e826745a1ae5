"""What holds for rooms in memory alone."""

import pytest

from signal_api.engine.memory import MemoryEngine
from signal_api.protocol.effects import Deliver, Effect
from signal_api.protocol.messages import server_frame
from signal_api.protocol.rooms import Ban, Room
from tests.signal_api.worlds import ManualClock


def test_several_workers_would_have_rooms_of_their_own() -> None:
    with pytest.raises(ValueError, match="2 workers cannot share rooms in memory"):
        MemoryEngine(ManualClock(), workers=2)


async def test_without_a_subscriber_effects_go_nowhere() -> None:
    engine, arrived = MemoryEngine(ManualClock()), list[Effect]()
    await engine.publish((Deliver(("a",), server_frame("joined")),))
    engine.subscribe(arrived.append)
    assert arrived == []


async def test_bans_that_are_over_leave_nothing_behind() -> None:
    clock = ManualClock()
    engine = MemoryEngine(clock)
    until = clock.now().wall + 60
    await engine.commit("r", 0, Room("r", {}, bans={"eve": Ban("eve", 0, until, "admin")}), ())
    assert len(await engine.rooms("", 9)) == 1
    clock.move(61)
    assert await engine.rooms("", 9) == []
    assert (await engine.load("r")).room is None
