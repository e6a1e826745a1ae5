"""Changing a room while others change it too."""

import pytest

from signal_api.engine.contract import Stored
from signal_api.engine.memory import MemoryEngine
from signal_api.node.commits import Commits
from signal_api.protocol.refusals import EngineUnavailableError, Refusal
from signal_api.protocol.rooms import Candidate, Change, Room, join
from tests.signal_api.socketless import Node


class BusyEngine(MemoryEngine):
    """A store in which somebody else is faster so many times: the world, not our code."""

    rivals = 0

    async def load(self, name: str) -> Stored:
        seen = await super().load(name)
        if self.rivals:
            self.rivals -= 1
            assert await self.commit(name, seen.version, _with(seen.room, f"rival {self.rivals}"), ())
        return seen


def _with(room: Room | None, sid: str) -> Room | None:
    change = join(room, "r", Candidate(f"m of {sid}", sid, None), 0, 1000)
    assert isinstance(change, Change)
    return change.room


def _join(stored: Room | None) -> Change | Refusal:
    return join(stored, "r", Candidate("m_a", "a", None), 0, 1000)


async def test_who_comes_second_tries_again_on_what_the_first_one_left() -> None:
    node = Node()
    engine = BusyEngine(node.clock)
    engine.rivals = 5
    change = await Commits(node.hub, engine).change("r", _join)
    assert isinstance(change, Change)
    assert change.member is not None
    assert change.member.order == 6


async def test_no_request_tries_for_ever() -> None:
    node = Node()
    engine = BusyEngine(node.clock)
    engine.rivals = 1000
    with pytest.raises(EngineUnavailableError, match="32 times"):
        await Commits(node.hub, engine).change("r", _join)
