"""Allocations, their permissions and channels, and the look-ups between them (RFC 8656 sections 3 and 6).

Here stands the one truth about what is alive; engines are told what follows from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from fairlead.credentials import parse_username
from fairlead.datagram import Address, Family, FiveTuple, Via
from fairlead.turn_user import room_of
from turnd.protocol.authentication import Account
from turnd.protocol.deadlines import Deadlines
from turnd.protocol.quotas import Claim
from turnd.routes import Channel, Permission, Ports, RelayId, Route

PERMISSION_LIFETIME = 300.0
CHANNEL_LIFETIME = 600.0


class RelaySocket(NamedTuple):
    """One relayed transport address: where it is bound; the client may be told another host (1:1 NAT)."""

    id: RelayId
    address: Address


@dataclass(slots=True)
class PermissionState:
    ports: Ports
    expires: float


@dataclass(slots=True)
class ChannelState:
    peer: Address
    expires: float


@dataclass(slots=True)
class Allocation:
    """One allocation (RFC 8656 section 6). Times are monotonic seconds.

    `transaction_id` and `reply` answer a retransmitted Allocate. `account` keeps the key that opened it.
    """

    id: int
    five_tuple: FiveTuple
    via: Via
    account: Account
    claim: Claim
    relay: RelaySocket
    transaction_id: bytes
    reply: bytes
    created: float
    expires: float
    permissions: dict[str, PermissionState] = field(default_factory=dict)
    channels: dict[int, ChannelState] = field(default_factory=dict)
    number_by_peer: dict[Address, int] = field(default_factory=dict)
    #: bytes that it may relay, both directions together
    budget: int | None = None
    #: bytes a second that it may relay, where the settings let it more
    bandwidth: int | None = None
    #: hosts outside of the fence, by when they were first asked for
    asked_early: dict[str, float] = field(default_factory=dict)

    @property
    def family(self) -> Family:
        return self.relay.address.family

    def routes(self, now: float) -> Iterator[Route]:
        """What an engine has to know of it."""
        for host, permission in self.permissions.items():
            if now < permission.expires:
                yield Permission(self.relay.id, host, permission.ports)
        for number, channel in self.channels.items():
            if now < channel.expires:
                yield Channel(self.relay.id, number, channel.peer)


class AllocationDue(NamedTuple):
    """The lifetime of an allocation ends."""

    id: int


class PermissionDue(NamedTuple):
    id: int
    host: str


class ChannelDue(NamedTuple):
    id: int
    number: int


class ReservationDue(NamedTuple):
    token: bytes


Due = AllocationDue | PermissionDue | ChannelDue | ReservationDue


@dataclass(slots=True)
class Reservation:
    """A port held for a second allocation of the same user (RFC 8656 section 7.2, EVEN-PORT), and its quota."""

    token: bytes
    relay: RelaySocket
    user_id: str
    claim: Claim


class Allocations:
    """All that is alive, with one deadline for each thing that ends by itself. Numbers are given from behind `last`:
    those of a turnd that was started again are others, so that nobody takes its allocations for those of before."""

    def __init__(self, last: int = 0) -> None:
        self.by_id: dict[int, Allocation] = {}
        self.by_five_tuple: dict[FiveTuple, Allocation] = {}
        #: Those of each room that has any, and of each user id: what is ordered about one is asked of no other.
        self.by_room: dict[str, dict[int, Allocation]] = {}
        self._by_user: dict[str, dict[int, Allocation]] = {}
        self.reservations: dict[bytes, Reservation] = {}
        self.deadlines: Deadlines[Due] = Deadlines()
        self._last_id = last
        self._last_relay = 0

    def __len__(self) -> int:
        return len(self.by_id)

    def new_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def new_relay_id(self) -> RelayId:
        self._last_relay += 1
        return RelayId(self._last_relay)

    def add(self, allocation: Allocation) -> None:
        self.by_id[allocation.id] = allocation
        self.by_five_tuple[allocation.five_tuple] = allocation
        for index, key in self._places(allocation):
            index.setdefault(key, {})[allocation.id] = allocation
        self.deadlines.set(AllocationDue(allocation.id), allocation.expires)

    def _places(self, allocation: Allocation) -> Iterator[tuple[dict[str, dict[int, Allocation]], str]]:
        user_id = allocation.account.user_id
        yield self._by_user, user_id
        if room := room_of(user_id):
            yield self.by_room, room

    def of_name(self, name: str) -> list[Allocation]:
        """Those of a username or user id."""
        limited = parse_username(name)
        user_ids = {name, limited.user_id} if limited is not None else {name}
        rows = (row for user_id in user_ids for row in self._by_user.get(user_id, {}).values())
        return [row for row in rows if name in (row.account.username, row.account.user_id)]

    def extend(self, allocation: Allocation, expires: float) -> None:
        allocation.expires = expires
        self.deadlines.set(AllocationDue(allocation.id), expires)

    def remove(self, allocation: Allocation) -> None:
        del self.by_id[allocation.id]
        del self.by_five_tuple[allocation.five_tuple]
        for index, key in self._places(allocation):
            del index[key][allocation.id]
            if not index[key]:
                del index[key]
        self.deadlines.clear(AllocationDue(allocation.id))
        for host in allocation.permissions:
            self.deadlines.clear(PermissionDue(allocation.id, host))
        for number in allocation.channels:
            self.deadlines.clear(ChannelDue(allocation.id, number))

    def permit(self, allocation: Allocation, host: str, ports: Ports, now: float) -> tuple[Permission, float]:
        """Installs or refreshes a permission (RFC 8656 section 9); returns its route and deadline, to be sent again
        either way."""
        expires = now + PERMISSION_LIFETIME
        allocation.permissions[host] = PermissionState(ports, expires)
        self.deadlines.set(PermissionDue(allocation.id, host), expires)
        return Permission(allocation.relay.id, host, ports), expires

    def forbid(self, allocation: Allocation, host: str) -> Permission:
        """Takes a permission away; returns the route to withdraw."""
        permission = allocation.permissions.pop(host)
        self.deadlines.clear(PermissionDue(allocation.id, host))
        return Permission(allocation.relay.id, host, permission.ports)

    def bind(self, allocation: Allocation, number: int, peer: Address, now: float) -> tuple[Channel, float]:
        """Binds or refreshes a channel (RFC 8656 section 12); returns its route and deadline."""
        expires = now + CHANNEL_LIFETIME
        allocation.channels[number] = ChannelState(peer, expires)
        allocation.number_by_peer[peer] = number
        self.deadlines.set(ChannelDue(allocation.id, number), expires)
        return Channel(allocation.relay.id, number, peer), expires

    def unbind(self, allocation: Allocation, number: int) -> Channel:
        """Takes a channel away; returns the route to withdraw."""
        channel = allocation.channels.pop(number)
        del allocation.number_by_peer[channel.peer]
        self.deadlines.clear(ChannelDue(allocation.id, number))
        return Channel(allocation.relay.id, number, channel.peer)

    def reserve(self, reservation: Reservation, until: float) -> None:
        self.reservations[reservation.token] = reservation
        self.deadlines.set(ReservationDue(reservation.token), until)

    def unreserve(self, token: bytes) -> Reservation:
        self.deadlines.clear(ReservationDue(token))
        return self.reservations.pop(token)

    def routes(self, now: float) -> frozenset[Route]:
        return frozenset(
            route for allocation in self.by_id.values() if now < allocation.expires for route in allocation.routes(now)
        )
