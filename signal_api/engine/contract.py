"""The promise that every engine keeps. Room logic stands in signal_api.rooms; an engine knows none of it.

A change of a room is: load, compute, commit; and again when somebody else was faster. The effects of a change are
delivered when it is committed and never otherwise, and those of one room reach each session in the order of the
commits. An engine that cannot be reached raises EngineUnavailableError within a second.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from signal_api.effects import Effect
from signal_api.revocations import Revocation
from signal_api.rooms import Room


class Stored(NamedTuple):
    """A room and the version under which it may be replaced; a room that does not exist has a version too."""

    room: Room | None
    version: int


class Census(NamedTuple):
    """How many rooms are open, and how many members are in all of them."""

    rooms: int
    members: int


class Engine(Protocol):
    """Storage of rooms, shared by all the nodes that serve them."""

    def subscribe(self, deliver: Callable[[Effect], None]) -> None:
        """Names who takes the effects that are for sessions of this node, or for every node; sessions that it does
        not know are left out there. A node that begins, or was cut off, is given every revocation that is kept."""
        ...

    async def load(self, name: str) -> Stored: ...

    async def rooms(self, after: str, most: int) -> list[Room]:
        """At most so many rooms in the order of their names, from the first behind `after`; bans alone are a room,
        too."""
        ...

    async def commit(self, name: str, version: int, room: Room | None, effects: Sequence[Effect]) -> bool:
        """Replaces a room (None: it is gone) and delivers the effects; False, with nothing done, when the version is
        not the room's any more. From `room.until` on, where it says so, the room may be forgotten."""
        ...

    async def publish(self, effects: Sequence[Effect]) -> None:
        """Delivers effects that change no room."""
        ...

    async def revoke(self, revocation: Revocation) -> None:
        """Keeps a revocation until its end, or takes one back, and delivers it to every node as Revoked."""
        ...

    def census(self) -> Census:
        """As this node last knew it; never waits."""
        ...
