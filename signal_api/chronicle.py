"""What happens here, as events for webhooks. Nothing is made of them while nobody listens.

What the store is changed by comes back from it as an effect, with the change or not at all: an answer that is lost on
its way takes no event with it.
"""

from functools import partial
from typing import Any

import msgspec

from fairlead.link import Allocated, Ended, Event, Refused
from fairlead.turn_user import session_of
from signal_api.protocol.effects import Happened, Own, Person, Reported
from signal_api.protocol.rooms import Change, Member, Room
from signal_api.relay.reports import Report
from signal_api.relay.sightings import Sightings
from signal_api.relay.stats import total
from signal_api.timers import Timers
from signal_api.webhooks import Webhooks

#: Seconds after which the relays of a member who left have ended, and their last bytes are counted.
_SETTLED = 1.5


class Chronicle:
    """Tells webhooks; see signal_api.webhooks.EVENTS."""

    def __init__(self, webhooks: Webhooks, timers: Timers, sightings: Sightings) -> None:
        self.webhooks = webhooks
        self._timers = timers
        self._sightings = sightings

    def of_room(self, name: str, before: Room | None, change: Change) -> tuple[Own, ...]:
        """What is to be told of a change, to be committed with it."""
        if not self.webhooks:
            return ()
        was_open, is_open, member = _is_open(before), _is_open(change.room), change.member
        is_new = (
            member is not None and member not in change.gone and (before is None or member.id not in before.members)
        )
        joined = _person(member) if member is not None and is_new else None
        if was_open == is_open and joined is None and not change.gone:
            return ()
        opened, closed = is_open and not was_open, was_open and not is_open
        return (Happened(name, opened, closed, joined, tuple(map(_person, change.gone)), change.reason),)

    def tell(self, event: Own) -> None:
        """It was committed, or kept."""
        if isinstance(event, Reported):
            about = {"room": event.room, "member": event.member}
            self.webhooks.tell("report", about | msgspec.json.decode(event.report))
        else:
            self._tell_of_room(event)

    def _tell_of_room(self, change: Happened) -> None:
        if change.opened:
            self.webhooks.tell("room.created", {"room": change.room})
        if change.joined is not None:
            who = change.joined
            self.webhooks.tell("member.joined", {"room": change.room, "member": who.id, "user": who.user})
        if change.gone or change.closed:
            self._timers.after(_SETTLED, partial(self._left, change))

    def relay(self, event: Event, turn_user: str) -> None:
        """turnd has told something of a member's relay."""
        if not self.webhooks or not session_of(turn_user):
            return
        about = {"session": session_of(turn_user)}
        if isinstance(event, Allocated):
            about |= {"transport": event.transport, "client": event.client, "relayed": event.relayed}
            self.webhooks.tell("allocation.created", about)
        elif isinstance(event, Refused) and event.method == "allocate":
            self.webhooks.tell("allocation.refused", about | {"code": event.code, "reason": event.reason})
        elif isinstance(event, Ended):
            ended = {"reason": event.reason, "seconds": event.seconds, "traffic": msgspec.to_builtins(event.traffic)}
            self.webhooks.tell("allocation.ended", about | ended)

    def of_report(self, room: str, member: str, report: Report) -> tuple[Own, ...]:
        """What is to be told when it is kept how a client's connection went."""
        return (Reported(room, member, msgspec.json.encode(report)),) if self.webhooks else ()

    def quota(self, room: str, member: str, quota: dict[str, Any]) -> None:
        """A budget is nearly used, or used up."""
        if self.webhooks:
            self.webhooks.tell("quota", {"room": room, "member": member} | quota)

    def _left(self, change: Happened) -> None:
        for member in change.gone:
            sighting = self._sightings.of(member.turn_user)
            traffic = total([relay.traffic for relay in sighting.relays] if sighting is not None else [])
            about = {"room": change.room, "member": member.id, "user": member.user, "reason": change.reason.value}
            self.webhooks.tell("member.left", about | {"traffic": msgspec.to_builtins(traffic)})
        if change.closed:
            self.webhooks.tell("room.closed", {"room": change.room})


def _person(member: Member) -> Person:
    return Person(member.id, member.user, member.turn_user)


def _is_open(room: Room | None) -> bool:
    return room is not None and room.is_open
