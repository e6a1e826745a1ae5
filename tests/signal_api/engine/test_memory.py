"""What holds for rooms in memory alone."""

import pytest

from signal_api.engine.memory import MemoryEngine
from signal_api.messages import server_frame
from signal_api.rooms import Deliver, Effect


def test_several_workers_would_have_rooms_of_their_own() -> None:
    with pytest.raises(ValueError, match="2 workers cannot share rooms in memory"):
        MemoryEngine(workers=2)


async def test_without_a_subscriber_effects_go_nowhere() -> None:
    engine, arrived = MemoryEngine(), list[Effect]()
    await engine.publish((Deliver(("a",), server_frame("joined")),))
    engine.subscribe(arrived.append)
    assert arrived == []
