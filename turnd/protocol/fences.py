"""Permission fences: whom the members of a room may reach is what the room has announced to itself.

signal_api sees the candidates that members send each other, and says which hosts they name. A peer outside of them has
no part in the call. That is for turnd to know, since a credential is all that it takes to use a relay for other ends.
Who is no member, by its user id, has no fence.
"""

import enum
from collections import OrderedDict
from collections.abc import Container, Iterable

from fairlead.turn_user import room_of


class FenceMode(enum.StrEnum):
    """What becomes of a request for a host that was not announced."""

    OFF = "off"
    #: it is counted, and granted
    LOG = "log"
    ENFORCE = "enforce"


class Fence:
    """Of one room."""

    __slots__ = ("hosts", "mode")

    def __init__(self, mode: FenceMode) -> None:
        self.mode = mode
        self.hosts: OrderedDict[str, None] = OrderedDict()


_STRICTER = (FenceMode.OFF, FenceMode.LOG, FenceMode.ENFORCE)


class Fences:
    """About `rooms` rooms and `hosts` hosts of each; what was named longest ago makes room, but for rooms that relay.

    From then on a room that nothing is known of may be one that was forgotten, and is judged as the strictest of those:
    who can open rooms without end opens no fence with that.
    """

    def __init__(self, rooms: int = 65536, hosts: int = 1024) -> None:
        self._most_rooms = self._full = rooms
        self._most_hosts = hosts
        self._rooms: OrderedDict[str, Fence] = OrderedDict()
        self._unknown = FenceMode.OFF

    def __len__(self) -> int:
        return len(self._rooms)

    @property
    def is_full(self) -> bool:
        """Whether make_room is to be called."""
        return len(self._rooms) > self._full

    def announce(self, room: str, mode: FenceMode, hosts: Iterable[str]) -> bool:
        """Adds hosts to a room, OFF forgets them; True when its fence is stricter than before, so that what lives has
        to be judged."""
        fence = self._rooms.pop(room, None)
        before = fence.mode if fence is not None else FenceMode.OFF
        if mode is self._unknown is FenceMode.OFF:
            return False
        fence = self._rooms[room] = Fence(mode) if fence is None or mode is FenceMode.OFF else fence
        fence.mode = mode
        for host in hosts:
            fence.hosts[host] = None
            fence.hosts.move_to_end(host)
        while len(fence.hosts) > self._most_hosts:
            fence.hosts.popitem(last=False)
        return mode is FenceMode.ENFORCE and before is not mode

    def make_room(self, living: Container[str]) -> None:
        """Forgets rooms that are not `living`, a sixteenth at once: to know who lives is dear."""
        share = self._most_rooms // 16
        for room in [room for room in self._rooms if room not in living][: len(self._rooms) - self._most_rooms + share]:
            self._unknown = max(self._unknown, self._rooms.pop(room).mode, key=_STRICTER.index)
        self._full = max(self._most_rooms, len(self._rooms) + share)

    def judge(self, user_id: str, host: str) -> FenceMode:
        """OFF when the host may be reached, else what is to become of it."""
        if not self._rooms:
            return FenceMode.OFF
        room = room_of(user_id)
        fence = self._rooms.get(room)
        if fence is None:
            return self._unknown if room else FenceMode.OFF
        return FenceMode.OFF if host in fence.hosts else fence.mode
