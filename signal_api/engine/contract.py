"""The promise that every engine keeps. Room logic stands in signal_api.rooms; an engine knows none of it.

A change of a room is: load, compute, commit; and again when somebody else was faster. The effects of a change are
delivered when it is committed and never otherwise, and those of one room reach each session in the order of the
commits. An engine that cannot be reached raises EngineUnavailableError within a second.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from signal_api.rooms import Effect, Room


class Stored(NamedTuple):
    """A room and the version under which it may be replaced; a room that does not exist has a version too."""

    room: Room | None
    version: int


class Census(NamedTuple):
    """How many rooms there are, and how many members in all of them."""

    rooms: int
    members: int


class Engine(Protocol):
    """Storage of rooms, shared by all the nodes that serve them."""

    def subscribe(self, deliver: Callable[[Effect], None]) -> None:
        """Names who takes the effects for sessions of this node; sessions that it does not know are left out there."""
        ...

    async def load(self, name: str) -> Stored: ...

    async def commit(self, name: str, version: int, room: Room | None, effects: Sequence[Effect]) -> bool:
        """Replaces a room (None: it is gone) and delivers the effects; False, with nothing done, when the version is
        not the room's any more."""
        ...

    async def publish(self, effects: Sequence[Effect]) -> None:
        """Delivers effects that change no room."""
        ...

    def census(self) -> Census:
        """As this node last knew it; never waits."""
        ...
