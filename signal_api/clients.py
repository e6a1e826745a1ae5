"""One client as its node knows it: the session, what it may do, and the connection that it has just now."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from fairlead.buckets import TokenBucket
from fairlead.clock import Now
from signal_api.protocol.authorization import Grants
from signal_api.protocol.effects import Announce, Receipt
from signal_api.protocol.messages import ServerFrame
from signal_api.protocol.refusals import CloseCode
from signal_api.protocol.sessions import LOG_FRAMES, Entry, Membership, Position, Session
from signal_api.timers import Timer

#: the key of a request's scope under which the gate leaves its Visitor for the handlers behind it
VISITOR = "fairlead.visitor"


class Visitor(NamedTuple):
    """Where a connection comes from: a source for limits, the host under which it found us, and whether it was made at
    this machine by somebody who meant it."""

    source: bytes
    host: str
    is_local: bool


class Connection(Protocol):
    """A way to a client. Neither verb waits, and both do nothing once it is closed."""

    #: the value of the metric label `transport`
    transport: str

    @property
    def is_over(self) -> bool:
        """Whether its client hears nothing any more but what is queued."""
        ...

    def send(self, frame: ServerFrame, seq: int | None = None) -> None:
        """Queues one frame, with its number when it is kept; closes itself when the client does not read."""
        ...

    def catch_up(self, greeting: ServerFrame | None, missed: Sequence[Entry]) -> None:
        """Sends what was missed, ahead of all else; it does not count as a queue."""
        ...

    def close(self, code: CloseCode) -> None:
        """Sends what is queued, then ends the connection."""
        ...


class Owed(NamedTuple):
    """A frame whose sender hears when it is lost; `at` (monotonic) is when it came."""

    at: float
    receipt: Receipt


class Dismissal(NamedTuple):
    """An event stream was told not to come back, at this position; until then (monotonic) its browser may try."""

    at: Position
    until: float


@dataclass(slots=True, eq=False)
class Client:
    """`last_heard` is monotonic. The timers are those of the state it is in: pings while connected, otherwise what
    follows from being away. Whoever handles a frame holds `turn`: several requests may bring frames at once. Where
    `on_news` is set, it takes the membership events in place of the session."""

    session: Session
    grants: Grants
    visitor: Visitor
    bucket: TokenBucket
    last_heard: float
    connection: Connection | None = None
    refused_in_a_row: int = 0
    flush: Timer | None = None
    expiry: Timer | None = None
    #: the end of the first of the tokens for single rooms
    lapse: Timer | None = None
    #: when (monotonic) the TURN credential of each room is made anew, and the timer for the first of them
    renewals: dict[str, float] = field(default_factory=dict)
    renewal: Timer | None = None
    timers: list[Timer] = field(default_factory=list)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    dismissal: Dismissal | None = None
    owed: deque[Owed] | None = None
    on_news: Callable[[Announce], None] | None = None
    #: told after each change that a store keeps for other nodes
    keeper: Callable[[str], None] | None = None
    #: another node goes on with the session; what is done here has no effect
    is_elsewhere: bool = False
    #: what is still owed to who came back: a look at its rooms by the token that it brought, and its rooms as they are
    is_regranted: bool = False
    begins_anew: bool = False

    @property
    def sid(self) -> str:
        return self.session.sid

    @property
    def is_away(self) -> bool:
        """Whether nobody hears what it is told: here, or at another node."""
        return self.connection is None and not self.is_elsewhere

    def grants_in(self, room: str) -> Grants:
        """What it may do in a room: by the token that it joined with, or else by the session's."""
        membership = self.session.rooms.get(room)
        return self.grants if membership is None or membership.grants is None else membership.grants

    def leave(self, room: str) -> Membership | None:
        """It is in this room no more, and no credential is made for it."""
        self.renewals.pop(room, None)
        return self.session.rooms.pop(room, None)

    def own_grants(self) -> Iterator[Grants]:
        """What the tokens grant by which it joined single rooms."""
        return (row.grants for row in self.session.rooms.values() if row.grants is not None)

    def deliver(self, frame: ServerFrame) -> None:
        """Numbers, keeps and sends a frame; membership news that waits goes first."""
        if self.session.news:
            self.send_news()
        entry = self.session.append(frame)
        if self.connection is not None:
            self.connection.send(frame, entry.seq)
        if self.keeper is not None:
            self.keeper(self.session.sid)

    def owe(self, receipt: Receipt, now: float) -> None:
        """Remembers whom to tell if the frame that was just delivered is lost. Once the client was heard again, or has
        acknowledged it, it was not."""
        if self.owed is None:
            self.owed = deque(maxlen=LOG_FRAMES)
        while self.owed and self.owed[0].at < self.last_heard:
            self.owed.popleft()
        self.owed.append(Owed(now, receipt))

    def lost(self) -> list[Receipt]:
        """The receipts of what came after the client was last heard."""
        return [owed.receipt for owed in self.owed or () if owed.at >= self.last_heard]

    def send_news(self) -> None:
        """Sends the membership news that was gathered."""
        if self.flush is not None:
            self.flush.cancel()
            self.flush = None
        for entry in self.session.flush():
            if self.connection is not None:
                self.connection.send(entry.frame, entry.seq)
        self.changed()

    def changed(self) -> None:
        """Has the session kept as it is now, where there is a store for that."""
        if self.keeper is not None:
            self.keeper(self.session.sid)

    def answer(self, frame: ServerFrame) -> None:
        """Sends a frame that is not kept."""
        if self.connection is not None:
            self.connection.send(frame)

    def stop_timers(self) -> None:
        """Of its connection, or of its absence."""
        for timer in (*self.timers, *([self.expiry] if self.expiry else ())):
            timer.cancel()
        self.timers.clear()
        self.expiry = None

    def is_authorized(self, now: Now) -> bool:
        """Whether the token that let it in is still good."""
        return self.grants.expires is None or now.wall < self.grants.expires
