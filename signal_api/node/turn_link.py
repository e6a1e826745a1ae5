"""What the relay tells: counted, and passed on to the member whom it concerns.

A TURN user name carries the room and the session that it was made for, so a refused or ended allocation finds its
way to the one client that can do something about it.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from fairlead.credentials import parse_username
from fairlead.link import (
    Allocated,
    Command,
    Draining,
    Ended,
    Event,
    LinkClient,
    Refused,
    Remote,
    RemoteLinkClient,
    Usage,
)
from fairlead.turn_user import session_of
from signal_api.clients import Client
from signal_api.node.hub import Hub
from signal_api.protocol.messages import server_frame, to_json

#: How allocations end that their client, or its time, has ended; it knows.
_EXPECTED_ENDS = frozenset({"client", "expired", "disconnected"})

_LABELS: dict[type[Event], str] = {
    Allocated: "allocated",
    Refused: "refused",
    Usage: "usage",
    Ended: "ended",
    Draining: "draining",
}


class TurnNotice(msgspec.Struct, frozen=True, omit_defaults=True):
    """The data of a `turn` frame; `code` is the STUN error of a refusal."""

    event: str
    reason: str
    code: int | None = None


class TurnLink:
    """The end of the link at signal_api."""

    def __init__(self, place: Path | Remote, hub: Hub) -> None:
        self._hub = hub
        self._is_local = isinstance(place, Path)
        self._client = (
            RemoteLinkClient(place, self.receive, self._standing)
            if isinstance(place, Remote)
            else LinkClient(place, self.receive, self._standing)
        )
        hub.sightings.is_linked = lambda: self._client.connected
        hub.rights.command = hub.fences.command = hub.budgets.command = self._client.send

    @property
    def connected(self) -> bool:
        return self._client.connected

    def start(self) -> None:
        self._client.start()

    async def stop(self) -> None:
        await self._client.stop()

    def receive(self, event: Event) -> None:
        """Takes one event of turnd."""
        self._hub.instruments.turn_events[_LABELS[type(event)],] += 1
        self._hub.sightings.note(event, round(self._hub.clock.now().wall * 1000))
        if isinstance(event, Allocated | Refused | Ended) and self._is_ours(_user(event.username)):
            self._hub.chronicle.relay(event, _user(event.username))
        if isinstance(event, Allocated | Usage | Ended):
            self._spend(event, partial(self._tell_of_end, event))
        if isinstance(event, Refused) and event.method == "allocate":
            self._tell(event.username, TurnNotice("refused", event.reason, event.code))
        elif isinstance(event, Allocated):
            self._hub.fences.note(event, _user(event.username))
        elif isinstance(event, Draining):
            self._hub.desk.turnd_goes(msgspec.structs.replace(event, hosts=(*event.hosts, *self._aliases(event))))

    def _standing(self) -> list[Command]:
        """What a turnd has to know that may have been started anew."""
        self._hub.desk.turnd_is_back()
        return [*self._hub.rights.standing(), *self._hub.fences.standing()]

    def _aliases(self, event: Draining) -> tuple[str, ...]:
        """Whether whatever {host} stands for leads to that turnd: it does on this machine, and under one name."""
        return ("{host}",) if self._is_local or self._hub.policy.public_host in event.hosts else ()

    def _is_ours(self, user: str) -> bool:
        """Of several nodes one speaks of a member: where its session is, or has ended."""
        return self._hub.roster.get(session_of(user)) is not None or self._hub.rights.has_withdrawn(user)

    def _tell_of_end(self, event: Allocated | Usage | Ended) -> None:
        if isinstance(event, Ended) and event.reason not in _EXPECTED_ENDS:
            self._tell(event.username, TurnNotice("ended", event.reason))

    def _spend(self, event: Allocated | Usage | Ended, then: Callable[[], None]) -> None:
        """Holds a member who is here to what its token lets it relay."""
        user = _user(event.username)
        client = self._hub.roster.get(session_of(user))
        rooms = client.session.rooms.values() if client is not None else ()
        membership = next((row for row in rooms if row.turn_user == user), None)
        if client is not None and membership is not None:
            self._hub.budgets.note(event, client, membership, then)
        else:
            then()

    def _tell(self, username: str, notice: TurnNotice) -> None:
        user = _user(username)
        client = self._hub.roster.get(session_of(user))
        if client is not None:
            client.deliver(server_frame("turn", to_json(notice), room=_room(client, user)))


def _user(username: str) -> str:
    parsed = parse_username(username)
    return parsed.user_id if parsed is not None else ""


def _room(client: Client, turn_user: str) -> str | None:
    return next((row.room for row in client.session.rooms.values() if row.turn_user == turn_user), None)
