"""What turnd is told about those who may not relay any more.

A TURN credential cannot be called back from the client that has it. What it was made for ends here, in signaling, so
signaling says so, and turnd ends what lives by it and refuses what comes.
"""

from collections import OrderedDict
from collections.abc import Callable

from fairlead.link import Command, End, EndBy, Revoke, RevokeBy
from signal_api.relay.ice_servers import room_hash
from signal_api.timers import Clock

#: withdrawals that are kept; beyond it the oldest, whose credentials are the first to expire, gives way
_KEPT = 65536


class RelayRights:
    """`command` takes the way to turnd; without a link nobody is told. `lifetime` says how long, in seconds, a
    credential is good that is given now: so long a withdrawal is kept, to be said again to a turnd that begins anew."""

    def __init__(self, clock: Clock, lifetime: Callable[[], int]) -> None:
        self.command: Callable[[Command], None] | None = None
        self._clock = clock
        self._lifetime = lifetime
        self._withdrawn: OrderedDict[str, tuple[float, Revoke]] = OrderedDict()
        #: those of them whose sessions were at this node
        self._ours: set[str] = set()

    def withdraw(self, turn_user: str, why: str, is_ours: bool = True) -> None:
        """Ends all that this user id of a membership's credentials relays, and all that it would.

        Whoever takes a member out says so, and so does the node of its session (`is_ours`): the first may not hear that
        it did, the second may be dead.
        """
        self._tell(Revoke(RevokeBy.USER, turn_user, why))
        if is_ours and turn_user in self._withdrawn:
            self._ours.add(turn_user)

    def withdraw_user(self, user: str, why: str) -> None:
        """The same for the credentials that a user of tokens was given outside of rooms, up to now."""
        last = int(self._clock.now().wall) + self._lifetime()
        self._tell(Revoke(RevokeBy.USER, user, why, expiring=last))

    def end_room(self, room: str, why: str) -> None:
        """Ends all that is relayed for a room; whoever is a member of it stays one, with what it was given."""
        if self.command is not None:
            self.command(End(EndBy.ROOM, room_hash(room), why))

    def has_withdrawn(self, turn_user: str) -> bool:
        """Whether this node has, of late, for a session that was here."""
        return turn_user in self._ours

    def standing(self) -> list[Revoke]:
        """What has been withdrawn and might still be tried, the oldest first."""
        self._forget()
        return [command for _, command in self._withdrawn.values()]

    def _tell(self, command: Revoke) -> None:
        if self.command is None:
            return
        self._forget(room_for=1)
        self._withdrawn[command.value] = self._clock.now().monotonic + self._lifetime(), command
        self._withdrawn.move_to_end(command.value)
        self.command(command)

    def _forget(self, room_for: int = 0) -> None:
        now, most = self._clock.now().monotonic, _KEPT - room_for
        while self._withdrawn and (len(self._withdrawn) > most or next(iter(self._withdrawn.values()))[0] <= now):
            self._ours.discard(self._withdrawn.popitem(last=False)[0])
