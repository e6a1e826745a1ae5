"""The promise that every engine keeps. Room logic stands in signal_api.protocol.rooms; an engine knows none of it.

A change of a room is: load, compute, commit; and again when somebody else was faster. The effects of a change are
delivered when it is committed and never otherwise, and those of one room reach each session in the order of the
commits. An engine that cannot be reached raises EngineUnavailableError within a second.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from signal_api.clients import Client
from signal_api.luggage import Luggage
from signal_api.protocol.effects import Effect
from signal_api.protocol.refusals import CloseCode
from signal_api.protocol.revocations import Revocation
from signal_api.protocol.rooms import Room
from signal_api.relay.ledger import Spending, Spent
from signal_api.relay.reports import Report


class Stored(NamedTuple):
    """A room and the version under which it may be replaced; a room that does not exist has a version too."""

    room: Room | None
    version: int


class Census(NamedTuple):
    """How many rooms are open, and how many members are in all of them."""

    rooms: int
    members: int


class Once(NamedTuple):
    """A client's frame: its session, and its id there. What it asks for is done once, however often it comes."""

    sid: str
    id: str


class Keeper(Protocol):
    """What a vault asks of the node that it keeps the sessions of."""

    def take_in(self, luggage: Luggage) -> Client:
        """A session goes on here; its client has lost its connection until it comes."""
        ...

    async def hand_over(self, client: Client, code: CloseCode) -> Luggage:
        """A session goes on elsewhere: its connection ends with this code, and nothing changes it any more."""
        ...

    async def answer(self, question: bytes) -> bytes: ...

    def begin_anew(self, client: Client) -> None:
        """What was kept of a session is gone: its client is told when it connects again, which it is asked to."""
        ...

    def drop(self, client: Client) -> None:
        """Another node has the session."""
        ...

    async def take_out(self, sid: str, rooms: Sequence[str]) -> None:
        """These rooms have a session that has ended: they lose it. Raises EngineUnavailableError."""
        ...


class Answer(NamedTuple):
    """What a node said."""

    node: str
    body: bytes


class Vault(Protocol):
    """Sessions that more than one node may go on with, one at a time. What waits raises EngineUnavailableError."""

    def attend(self, keeper: Keeper) -> None: ...

    async def open(self, client: Client) -> None:
        """Keeps a new session from now on, whatever becomes of it, until its end."""
        ...

    def end(self, sid: str) -> None: ...

    async def peek(self, sid: str) -> Luggage | None:
        """What is known of a session, without its log; None when nobody has it."""
        ...

    async def claim(self, sid: str, code: CloseCode) -> Client | None:
        """From now on this node alone goes on with the session; the connection that it has elsewhere ends with the
        code. None when nobody has it."""
        ...

    async def ask(self, sid: str, question: bytes) -> bytes | None:
        """What the other node answers that has a session; None when no other has it."""
        ...

    async def ask_first(self, name: str, question: bytes, unwilling: str = "") -> Answer | None:
        """What the other node answers that was the first to ask under this name, within two minutes; None when this one
        is. A node that was `unwilling` gives its place to whoever says so first."""
        ...


class AtHand(Protocol):
    """Rooms that are all in this process: nothing has to be waited for."""

    def room(self, name: str) -> Room | None: ...

    #: as Engine.publish, of one effect
    deliver: Callable[[Effect], None]


class Engine(Protocol):
    """Storage of rooms, shared by all the nodes that serve them."""

    @property
    def at_hand(self) -> AtHand | None:
        """The short way for an engine that has one, beside `load` and `publish`, which do the same."""
        ...

    @property
    def vault(self) -> Vault | None:
        """Where sessions are kept for other nodes; None where there are none."""
        ...

    async def start(self) -> None:
        """Begins, after all who want to hear of effects have said so. A store that does not answer yet is looked for
        from then on, and until it does this is as when it goes away; raises EngineUnavailableError where it answers and
        refuses, so that what is configured has to change."""
        ...

    def retire(self) -> None:
        """This node is about to go, and takes over nothing any more."""
        ...

    async def stop(self) -> None: ...

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

    async def publish(self, effects: Sequence[Effect], once: Once | None = None) -> None:
        """Delivers effects that change no room, unless they were delivered for that frame already."""
        ...

    async def revoke(self, revocation: Revocation) -> None:
        """Keeps a revocation until its end, or takes one back, and delivers it to every node as Revoked."""
        ...

    async def spend(self, spendings: Sequence[Spending]) -> list[Spent]:
        """Counts what relays have relayed, for all nodes together; see signal_api.relay.ledger."""
        ...

    async def report(
        self, turn_user: str, report: Report, once: Once | None = None, effects: Sequence[Effect] = ()
    ) -> bool:
        """Keeps how a connection of a membership went, and delivers the effects; False, with nothing done, when that
        frame had told it already."""
        ...

    async def reports(self, turn_users: Sequence[str]) -> list[Sequence[Report]]:
        """What was reported of each of these memberships, the oldest first."""
        ...

    def census(self) -> Census:
        """As this node last knew it; never waits."""
        ...

    def troubles(self) -> Sequence[str]:
        """Why no room can be changed just now; empty when all is well."""
        ...
