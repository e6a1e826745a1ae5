"""Tells turnd which addresses a room has announced to itself, so that its members reach nobody else through the relay.

Announced are the candidates in the frames that members send each other (RFC 8839 section 5.1), where turnd saw the
members themselves, and the relayed addresses that they were given. A candidate that hides behind a name (mDNS)
announces nothing: whoever wants to be reached there through a relay is reached at its own relayed address.
"""

import ipaddress
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator

from fairlead.datagram import parse_address
from fairlead.link import Allocated, Command, Fence, FenceMode
from fairlead.turn_user import room_of
from signal_api.relay.ice_servers import room_hash

#: candidates that are read of one frame, and hosts and rooms that are remembered
_IN_FRAME, _HOSTS, _ROOMS = 64, 1024, 20_000

#: In the raw JSON of a frame: blanks stand for themselves there, and what is written with escapes announces nothing.
_CANDIDATE = re.compile(
    rb"candidate:[^\s\"\\]{1,64} \d{1,5} [A-Za-z]{1,8} \d{1,10} ([0-9A-Fa-f.:]{3,45}) \d{1,5} typ ", re.ASCII
)


def announced(data: bytes) -> Iterator[str]:
    """The IP addresses of the candidates in an offer, an answer or a candidate frame, as they are written best."""
    for number, found in enumerate(_CANDIDATE.finditer(data)):
        if number == _IN_FRAME:
            return
        try:
            yield str(ipaddress.ip_address(found[1].decode()))
        except ValueError:
            continue


class Fences:
    """What each room has announced. `mode` says what turnd is to do with the rest; off, and nothing is read.

    `command` takes the way to turnd. A room or host that was named longest ago gives way to a new one.
    """

    def __init__(self, mode: FenceMode) -> None:
        self.command: Callable[[Command], None] | None = None
        self.is_on = mode is not FenceMode.OFF
        self._mode = mode
        self._rooms: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rooms)

    def enclose(self, room: str) -> None:
        """Makes sure that a room has a fence, before any of its members relays."""
        self._add(room_hash(room), ())

    def overhear(self, room: str, data: bytes) -> None:
        """Takes note of the candidates in a frame on its way to another member."""
        if self.is_on:
            self._add(room_hash(room), announced(data))

    def note(self, event: Allocated, turn_user: str) -> None:
        """A member has a relayed address, and was seen at an address of its own."""
        hashed = room_of(turn_user)
        if hashed in self._rooms:
            self._add(hashed, (parse_address(event.relayed).host, parse_address(event.client).host))

    def standing(self) -> list[Fence]:
        """All of it, for a turnd that knows nothing."""
        return [Fence(hashed, self._mode, tuple(hosts)) for hashed, hosts in self._rooms.items()]

    def _add(self, hashed: str, hosts: Iterable[str]) -> None:
        if not self.is_on or self.command is None:
            return
        known = self._rooms.get(hashed)
        fresh = [host for host in hosts if known is None or host not in known]
        if known is not None and not fresh:
            return
        known = self._rooms.setdefault(hashed, OrderedDict())
        self._rooms.move_to_end(hashed)
        known.update(dict.fromkeys(fresh))
        while len(known) > _HOSTS:
            known.popitem(last=False)
        while len(self._rooms) > _ROOMS:
            self._rooms.popitem(last=False)
        self.command(Fence(hashed, self._mode, tuple(fresh)))
