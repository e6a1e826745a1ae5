"""What happens here, as events for webhooks. Nothing is made of them while nobody listens."""

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from fairlead.link import Allocated, Ended, Event, Refused
from signal_api.protocol.effects import LeaveReason
from signal_api.protocol.rooms import Change, Member, Room
from signal_api.relay.ice_servers import session_of
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

    def room_changed(self, name: str, before: Room | None, change: Change) -> None:
        """A change was committed."""
        if not self.webhooks:
            return
        was_open, is_open = _is_open(before), _is_open(change.room)
        if is_open and not was_open:
            self.webhooks.tell("room.created", {"room": name})
        member = change.member
        if member is not None and member not in change.gone and (before is None or member.id not in before.members):
            self.webhooks.tell("member.joined", {"room": name, "member": member.id, "user": member.user})
        closing = was_open and not is_open
        later: Callable[[], None] = partial(self._left, name, change.gone, change.reason, closing)
        if change.gone or closing:
            self._timers.after(_SETTLED, later)

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

    def report(self, room: str, member: str, report: Report) -> None:
        """A client has told how one of its connections went."""
        if self.webhooks:
            self.webhooks.tell("report", {"room": room, "member": member} | msgspec.to_builtins(report))

    def quota(self, room: str, member: str, quota: dict[str, Any]) -> None:
        """A budget is nearly used, or used up."""
        if self.webhooks:
            self.webhooks.tell("quota", {"room": room, "member": member} | quota)

    def _left(self, room: str, gone: tuple[Member, ...], reason: LeaveReason, closed: bool) -> None:
        for member in gone:
            sighting = self._sightings.of(member.turn_user)
            traffic = total([relay.traffic for relay in sighting.relays] if sighting is not None else [])
            about = {"room": room, "member": member.id, "user": member.user, "reason": reason.value}
            self.webhooks.tell("member.left", about | {"traffic": msgspec.to_builtins(traffic)})
        if closed:
            self.webhooks.tell("room.closed", {"room": room})


def _is_open(room: Room | None) -> bool:
    return room is not None and room.is_open
