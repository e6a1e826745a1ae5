"""What turnd told of each credential: the relays it made, what went through them, and what was refused.

The server's own view of a call, beside the browser's. Kept for the credentials that were seen last, so that it has a
bound whatever clients do.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from fairlead.credentials import parse_username
from fairlead.link import Allocated, Ended, Event, Refused, Traffic, Usage
from signal_api.protocol.sessions import Membership, Session

#: records in all, about 400 bytes each, and records of each kind of one credential
_RECORDS = 100_000
_EACH = 48


class Relay(msgspec.Struct):
    """One allocation as turnd saw it; times in milliseconds of Unix time, addresses as HOST:PORT. `ended` is why."""

    allocation: int
    transport: str
    client: str
    relayed: str
    since: int
    seconds: float | None = None
    ended: str | None = None
    traffic: Traffic = Traffic()


class Rejection(msgspec.Struct, frozen=True):
    """One request that turnd refused; `code` is the STUN error."""

    method: str
    code: int
    reason: str
    client: str
    at: int


class Sighting(NamedTuple):
    """What was seen of one credential, the oldest first."""

    relays: deque[Relay]
    rejections: deque[Rejection]

    @property
    def records(self) -> int:
        return len(self.relays) + len(self.rejections)


class Sightings:
    """Takes the events of turnd; forgets the credential that was quiet for longest when there are too many records.

    `is_linked` says whether turnd can be heard at all, without which nothing seen means nothing; the link sets it.
    """

    def __init__(self, records: int = _RECORDS) -> None:
        self.is_linked: Callable[[], bool] = lambda: False
        self._limit = records
        self._records = 0
        self._seen: OrderedDict[str, Sighting] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seen)

    def of(self, user_id: str) -> Sighting | None:
        """What was seen of a user id, if anything."""
        return self._seen.get(user_id)

    def note(self, event: Event, now_ms: int) -> None:
        """Remembers an event; one that names no time-limited credential is none of ours."""
        parsed = parse_username(event.username) if isinstance(event, Allocated | Refused | Usage | Ended) else None
        if parsed is None:
            return
        if isinstance(event, Usage | Ended):
            _go_on(self._seen.get(parsed.user_id), event)
            return
        sighting = self._sighting(parsed.user_id)
        before = sighting.records
        if isinstance(event, Allocated):
            _begin(sighting, event, now_ms)
        elif isinstance(event, Refused):
            sighting.rejections.append(Rejection(event.method, event.code, event.reason, event.client, now_ms))
        self._records += sighting.records - before
        while self._records > self._limit:
            self._records -= self._seen.popitem(last=False)[1].records

    def _sighting(self, user_id: str) -> Sighting:
        sighting = self._seen.get(user_id)
        if sighting is None:
            sighting = self._seen[user_id] = Sighting(deque(maxlen=_EACH), deque(maxlen=_EACH))
        self._seen.move_to_end(user_id)
        return sighting


def _begin(sighting: Sighting, event: Allocated, now_ms: int) -> None:
    """turnd tells of all that live whenever the link is made anew, so the same allocation may come twice."""
    if _living(sighting, event.allocation) is None:
        relay = Relay(event.allocation, event.transport, event.client, event.relayed, now_ms)
        sighting.relays.append(relay)


def _go_on(sighting: Sighting | None, event: Usage | Ended) -> None:
    relay = _living(sighting, event.allocation) if sighting is not None else None
    if relay is None:
        return
    relay.traffic = event.traffic
    if isinstance(event, Ended):
        relay.seconds, relay.ended = event.seconds, event.reason


def _living(sighting: Sighting, allocation: int) -> Relay | None:
    return next((relay for relay in sighting.relays if relay.allocation == allocation and relay.ended is None), None)


class RelayRoom(msgspec.Struct, frozen=True):
    """What turnd saw of one membership."""

    room: str
    relays: tuple[Relay, ...]
    rejections: tuple[Rejection, ...]


class RelayView(msgspec.Struct, frozen=True):
    """A session's own view: `linked` is whether turnd can be heard at all."""

    linked: bool
    rooms: tuple[RelayRoom, ...]


def relay_view(sightings: Sightings, session: Session) -> RelayView:
    """What turnd saw of a session, a room at a time."""
    return RelayView(
        sightings.is_linked(), tuple(_room_view(sightings, membership) for membership in session.rooms.values())
    )


def _room_view(sightings: Sightings, membership: Membership) -> RelayRoom:
    sighting = sightings.of(membership.turn_user)
    relays, rejections = sighting if sighting is not None else ((), ())
    return RelayRoom(membership.room, tuple(relays), tuple(rejections))
