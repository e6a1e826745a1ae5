"""One client as its node knows it: the session, what it may do, and the connection that it has just now."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from fairlead.buckets import TokenBucket
from fairlead.clock import Now
from signal_api.authorization import Grants
from signal_api.messages import ServerFrame
from signal_api.refusals import CloseCode
from signal_api.sessions import Entry, Session
from signal_api.timers import Timer


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

    def send(self, frame: bytes) -> None:
        """Queues one frame; closes itself when the client does not read what it is sent."""
        ...

    def catch_up(self, frames: Iterable[bytes]) -> None:
        """Sends what was missed, ahead of all else; it does not count as a queue."""
        ...

    def close(self, code: CloseCode) -> None:
        """Sends what is queued, then ends the connection."""
        ...


@dataclass(slots=True, eq=False)
class Client:
    """`last_heard` is monotonic. The timers are those of the state it is in: pings while connected, otherwise what
    follows from being away."""

    session: Session
    grants: Grants
    visitor: Visitor
    bucket: TokenBucket
    last_heard: float
    connection: Connection | None = None
    refused_in_a_row: int = 0
    flush: Timer | None = None
    expiry: Timer | None = None
    timers: list[Timer] = field(default_factory=list)

    @property
    def sid(self) -> str:
        return self.session.sid

    def deliver(self, frame: ServerFrame) -> None:
        """Numbers, keeps and sends a frame; membership news that waits goes first."""
        self.send_news()
        self.pass_on(self.session.append(frame))

    def send_news(self) -> None:
        """Sends the membership news that was gathered."""
        if self.flush is not None:
            self.flush.cancel()
            self.flush = None
        for entry in self.session.flush():
            self.pass_on(entry)

    def pass_on(self, entry: Entry) -> None:
        """Sends a frame of the log."""
        if self.connection is not None:
            self.connection.send(entry.encode())

    def answer(self, frame: ServerFrame) -> None:
        """Sends a frame that is not kept."""
        if self.connection is not None:
            self.connection.send(frame.encode(None))

    def stop_timers(self) -> None:
        """Of its connection, or of its absence."""
        for timer in (*self.timers, *([self.expiry] if self.expiry else ())):
            timer.cancel()
        self.timers.clear()
        self.expiry = None

    def is_authorized(self, now: Now) -> bool:
        """Whether the token that let it in is still good."""
        return self.grants.expires is None or now.wall < self.grants.expires
