"""What turnd is told about those who may not relay any more.

A TURN credential cannot be called back from the client that has it. What it was made for ends here, in signaling, so
signaling says so, and turnd ends what lives by it and refuses what comes.
"""

from collections.abc import Callable

from fairlead.link import Command, End, EndBy, Revoke, RevokeBy
from signal_api.ice_servers import room_hash


class RelayRights:
    """`command` takes the way to turnd; without a link nobody is told."""

    def __init__(self) -> None:
        self.command: Callable[[Command], None] = lambda _: None

    def withdraw(self, turn_user: str, why: str) -> None:
        """Ends all that this user id of a credential relays, and all that it would."""
        self.command(Revoke(RevokeBy.USER, turn_user, why))

    def end_room(self, room: str, why: str) -> None:
        """Ends all that is relayed for a room; whoever is a member of it stays one, with what it was given."""
        self.command(End(EndBy.ROOM, room_hash(room), why))
