"""Relay budgets: how many bytes a token lets a session, a room and a user relay, counted from what turnd tells.

turnd holds each allocation to what was left when it began. Here the pools are counted that several allocations share:
whoever draws on one that is used up loses its relay and its credentials. A `quota` frame comes before.
"""

import enum
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import msgspec

from fairlead.link import Allocated, Budget, Command, Ended, Usage
from signal_api.authorization import RelayBudget
from signal_api.chronicle import Chronicle
from signal_api.clients import Client
from signal_api.messages import server_frame, to_json
from signal_api.metrics import Instruments
from signal_api.relay_rights import RelayRights
from signal_api.sessions import Membership

K = TypeVar("K")

#: the share of a budget after which its user is told
WARNING = 0.8
#: pools and allocations that are counted; what was quiet for longest gives way
_POOLS, _ALLOCATIONS = 50_000, 50_000


class Scope(enum.StrEnum):
    """What a budget is for."""

    SESSION = "session"
    ROOM = "room"
    TOTAL = "total"


class _Pool(NamedTuple):
    scope: Scope
    name: str
    limit: int


class Quota(msgspec.Struct, frozen=True):
    """The data of a `quota` frame, in bytes; `exhausted` when it is over."""

    scope: Scope
    used: int
    limit: int
    exhausted: bool


class Budgets:
    """Takes turnd's events about the relays of members who are here."""

    def __init__(self, rights: RelayRights, chronicle: Chronicle, instruments: Instruments) -> None:
        self.command: Callable[[Command], None] | None = None
        self._rights = rights
        self._chronicle = chronicle
        self._instruments = instruments
        self._used: OrderedDict[tuple[Scope, str], int] = OrderedDict()
        self._seen: OrderedDict[tuple[str, int], int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._used) + len(self._seen)

    def allocated(self, event: Allocated, client: Client, membership: Membership) -> None:
        """A relay begins: it may use what is left."""
        left = [pool.limit - self._used.get(pool[:2], 0) for pool in _pools(client, membership)]
        grants = client.grants_in(membership.room)
        bandwidth = grants.relay.bandwidth if grants.relay is not None else None
        if self.command is None or (not left and bandwidth is None):
            return
        known = self._seen.get((event.username, event.allocation), 0)
        most = known + max(0, min(left)) if left else None
        self.command(Budget(event.allocation, event.username, most, bandwidth))

    def relayed(self, event: Usage | Ended, client: Client, membership: Membership) -> None:
        """A relay has been used, and perhaps was ended for it."""
        pools = tuple(_pools(client, membership))
        if not pools:
            return
        fresh = self._count(event)
        for pool in pools:
            before = self._used.get(pool[:2], 0)
            used = before + fresh
            _remember(self._used, pool[:2], used, _POOLS)
            if used >= pool.limit > before or (used >= pool.limit and isinstance(event, Usage)):
                self._tell(client, membership, pool, used, exhausted=True)
                self._rights.withdraw(membership.turn_user, "quota")
            elif used >= WARNING * pool.limit > before:
                self._tell(client, membership, pool, used, exhausted=False)

    def _count(self, event: Usage | Ended) -> int:
        """Bytes since the last time that this relay was told of."""
        key = event.username, event.allocation
        total = event.traffic.bytes_to_peer + event.traffic.bytes_to_client
        known = self._seen.pop(key, 0)
        if isinstance(event, Usage):
            _remember(self._seen, key, total, _ALLOCATIONS)
        # Numbers of allocations begin anew with each turnd.
        return total - known if total >= known else total

    def _tell(self, client: Client, membership: Membership, pool: _Pool, used: int, exhausted: bool) -> None:
        quota = Quota(pool.scope, used, pool.limit, exhausted)
        self._instruments.quotas[pool.scope.value, "used_up" if exhausted else "nearly"] += 1
        client.deliver(server_frame("quota", to_json(quota), room=membership.room))
        self._chronicle.quota(membership.room, membership.member, msgspec.to_builtins(quota))


def _remember(book: OrderedDict[K, int], key: K, value: int, most: int) -> None:
    book[key] = value
    book.move_to_end(key)
    if len(book) > most:
        book.popitem(last=False)


def _pools(client: Client, membership: Membership) -> Iterator[_Pool]:
    grants = client.grants_in(membership.room)
    budget = grants.relay or RelayBudget()
    if budget.session_bytes is not None:
        yield _Pool(Scope.SESSION, client.sid, budget.session_bytes)
    if budget.room_bytes is not None:
        yield _Pool(Scope.ROOM, membership.room, budget.room_bytes)
    if budget.total_bytes is not None and grants.user is not None:
        yield _Pool(Scope.TOTAL, grants.user, budget.total_bytes)
