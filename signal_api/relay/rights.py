"""What turnd is told about those who may not relay any more.

A TURN credential cannot be called back from the client that has it. What it was made for ends here, in signaling, so
signaling says so, and turnd ends what lives by it and refuses what comes.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

from fairlead.link import Command, End, EndBy, Revoke, RevokeBy
from signal_api.relay.ice_servers import Issuer, room_hash
from signal_api.timers import Clock

#: withdrawals of each kind that are kept; beyond it the oldest, whose credentials are the first to expire, gives way
_KEPT = 65536
#: Seconds by which another node's clock may be ahead of ours, when it gives a credential to a member whom we take out.
_SKEW = 60

#: By user id: the command, and until which monotonic moment it has to be said again.
_Withdrawn: TypeAlias = OrderedDict[str, tuple[float, Revoke]]


class RelayRights:
    """`command` takes the way to turnd; without a link nobody is told. `issuer` makes what is withdrawn here: as long
    as a credential is good, its withdrawal is kept, to be said again to a turnd that begins anew.

    Whoever goes by itself may do so a hundred times a second. That fills a table of its own, and turnd's: who was sent
    away stays away.
    """

    def __init__(self, clock: Clock, issuer: Callable[[], Issuer]) -> None:
        self.command: Callable[[Command], None] | None = None
        self._clock = clock
        self._issuer = issuer
        self._sent_away: _Withdrawn = OrderedDict()
        self._parted: _Withdrawn = OrderedDict()
        #: those of them whose sessions were at this node
        self._ours: set[str] = set()
        self._promised = 0

    def outlive(self) -> None:
        """The issuer is about to change: what it has given stays good for as long as it was given for."""
        self._promised = self._last_given()

    def withdraw(self, turn_user: str, why: str, is_ours: bool = True, parting: bool = False) -> None:
        """Ends all that this user id of a membership's credentials relays, and all that it would; `parting` where the
        member went by itself.

        Whoever takes a member out says so, and so does the node of its session (`is_ours`): the first may not hear that
        it did, the second may be dead.
        """
        self._tell(Revoke(RevokeBy.USER, turn_user, why, self._last_given() + _SKEW, parting))
        if is_ours and self._has(turn_user):
            self._ours.add(turn_user)

    def withdraw_user(self, user: str, why: str) -> None:
        """The same for the credentials that a user of tokens was given outside of rooms, up to now."""
        self._tell(Revoke(RevokeBy.USER, user, why, int(self._clock.now().wall) + self._issuer().lifetime))

    def withdraw_all(self, user: str, why: str) -> None:
        """The same for a user id whose credentials may be another's, for as long as one of today can be good."""
        self._tell(Revoke(RevokeBy.USER, user, why))

    def end_room(self, room: str, why: str) -> None:
        """Ends all that is relayed for a room; whoever is a member of it stays one, with what it was given."""
        if self.command is not None:
            self.command(End(EndBy.ROOM, room_hash(room), why))

    def has_withdrawn(self, turn_user: str) -> bool:
        """Whether this node has, of late, for a session that was here."""
        return turn_user in self._ours

    def standing(self) -> list[Revoke]:
        """What has been withdrawn and might still be tried, the oldest first."""
        self._forget(self._parted)
        self._forget(self._sent_away)
        return [*self._commands(self._parted), *self._commands(self._sent_away)]

    def _last_given(self) -> int:
        """The Unix time at which the last credential expires that was given until now."""
        return max(self._promised, int(self._clock.now().wall) + self._issuer().lifetime)

    def _tell(self, command: Revoke) -> None:
        if self.command is None:
            return
        user, now = command.value, self._clock.now()
        if user in self._sent_away:
            command = msgspec.structs.replace(command, parting=False)
        table = self._parted if command.parting else self._sent_away
        self._forget(table, room_for=1)
        seconds = self._issuer().longest or math.inf
        if command.expiring is not None:
            seconds = command.expiring - now.wall
        self._parted.pop(user, None)
        table[user] = now.monotonic + seconds, command
        table.move_to_end(user)
        self.command(command)

    def _has(self, user: str) -> bool:
        return user in self._parted or user in self._sent_away

    def _forget(self, table: _Withdrawn, room_for: int = 0) -> None:
        now, most = self._clock.now().monotonic, _KEPT - room_for
        while table and (len(table) > most or next(iter(table.values()))[0] <= now):
            self._ours.discard(table.popitem(last=False)[0])

    def _commands(self, table: _Withdrawn) -> Iterator[Revoke]:
        now = self._clock.now().monotonic
        return (command for until, command in table.values() if until > now)
