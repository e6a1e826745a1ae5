"""Relay budgets: how many bytes a token lets a session, a room and a user relay, counted from what turnd tells.

turnd holds each allocation to what was left when it began. Here the pools are counted that several allocations share,
also those of other nodes: whoever draws on one that is used up loses its relay and its credentials. A `quota` frame
comes before.
"""

import enum
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from fairlead.link import Allocated, Budget, Command, Ended, Usage
from fairlead.log import get_logger
from signal_api.chronicle import Chronicle
from signal_api.clients import Client
from signal_api.metrics import Instruments
from signal_api.protocol.authorization import RelayBudget
from signal_api.protocol.messages import server_frame, to_json
from signal_api.protocol.refusals import EngineUnavailableError
from signal_api.protocol.sessions import Membership
from signal_api.relay.ledger import Ledger, Spending, Spent
from signal_api.relay.rights import RelayRights

#: the share of a budget after which its user is told
WARNING = 0.8
_log = get_logger("signal_api.budgets")

#: events that wait to be counted at most, and that are counted at once
_WAITING, _TOGETHER = 50_000, 128


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


class _Share(NamedTuple):
    """A relay of a member, the pools that it draws on, and what is done once they are judged."""

    event: Allocated | Usage | Ended
    client: Client
    membership: Membership
    pools: tuple[_Pool, ...]
    then: Callable[[], None]

    @property
    def spending(self) -> Spending:
        event = self.event
        total = None if isinstance(event, Allocated) else event.traffic.bytes_to_peer + event.traffic.bytes_to_client
        names = tuple(f"{pool.scope} {pool.name}" for pool in self.pools)
        return Spending(f"{event.username} {event.allocation}", total, names)


class Budgets:
    """Takes turnd's events about the relays of members who are here; `spend` counts them for all nodes. While that does
    not answer this node goes by what it knows, and what ended meanwhile is told later."""

    def __init__(
        self,
        rights: RelayRights,
        chronicle: Chronicle,
        instruments: Instruments,
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self.command: Callable[[Command], None] | None = None
        self.spend: Callable[[Sequence[Spending]], Awaitable[list[Spent]]] | None = None
        self._rights = rights
        self._chronicle = chronicle
        self._instruments = instruments
        self._spawn = spawn
        self._known = Ledger()
        self._waiting: deque[_Share] = deque()
        self._owing: deque[Spending] = deque()
        self._is_counting = False

    def note(
        self, event: Allocated | Usage | Ended, client: Client, membership: Membership, then: Callable[[], None]
    ) -> None:
        """A relay begins, has been used, or has ended, perhaps for that; `then` comes after what is said of it here."""
        pools = tuple(_pools(client, membership))
        if not pools:
            if isinstance(event, Allocated):
                self._allow(event, client, membership, None)
            then()
            return
        share = _Share(event, client, membership, pools, then)
        if len(self._waiting) >= _WAITING:
            self._settle([share], self._by_what_is_known([share]))
            return
        self._waiting.append(share)
        if not self._is_counting:
            self._is_counting = True
            self._spawn(self._count())

    async def _count(self) -> None:
        """One after the other, since the totals of a relay grow."""
        try:
            while self._waiting:
                shares = [self._waiting.popleft() for _ in range(min(len(self._waiting), _TOGETHER))]
                self._settle(shares, await self._spend(shares))
        finally:
            self._is_counting = False

    async def _spend(self, shares: list[_Share]) -> list[Spent]:
        spendings = [share.spending for share in shares]
        owed = [self._owing.popleft() for _ in range(min(len(self._owing), _TOGETHER))]
        try:
            assert self.spend is not None  # Whoever brings clients here brings an engine.
            spent = (await self.spend([*owed, *spendings]))[len(owed) :]
        except EngineUnavailableError:
            self._owe(owed)
            return self._by_what_is_known(shares)
        for spending, one in zip(spendings, spent, strict=True):
            self._known.learn(spending, one)
        return spent

    def _by_what_is_known(self, shares: list[_Share]) -> list[Spent]:
        """Where the store does not answer, or not as fast as turnd tells. A relay that has ended is told of later;
        others are told of again."""
        self._owe([share.spending for share in shares if isinstance(share.event, Ended)])
        return [self._known.spend(share.spending) for share in shares]

    def _owe(self, spendings: list[Spending]) -> None:
        left = _WAITING - len(self._owing)
        if len(spendings) > left:
            _log.warning("the store has been away for too long; bytes of relays are not counted", relays=_WAITING)
        self._owing.extend(spendings[:left])

    def _settle(self, shares: list[_Share], spent: list[Spent]) -> None:
        for share, one in zip(shares, spent, strict=True):
            self._judge(share, one)
            share.then()

    def _judge(self, share: _Share, spent: Spent) -> None:
        event, client, membership, pools, _ = share
        if isinstance(event, Allocated):
            left = min(pool.limit - used for pool, used in zip(pools, spent.used, strict=True))
            self._allow(event, client, membership, spent.total + max(0, left))
            return
        for pool, used in zip(pools, spent.used, strict=True):
            before = used - spent.fresh
            if used >= pool.limit > before or (used >= pool.limit and isinstance(event, Usage)):
                self._tell(client, membership, pool, used, exhausted=True)
                self._rights.withdraw(membership.turn_user, "quota")
            elif used >= WARNING * pool.limit > before:
                self._tell(client, membership, pool, used, exhausted=False)

    def _allow(self, event: Allocated, client: Client, membership: Membership, most: int | None) -> None:
        """A relay that begins may use what is left."""
        grants = client.grants_in(membership.room)
        bandwidth = grants.relay.bandwidth if grants.relay is not None else None
        if self.command is not None and (most is not None or bandwidth is not None):
            self.command(Budget(event.allocation, event.username, most, bandwidth))

    def _tell(self, client: Client, membership: Membership, pool: _Pool, used: int, exhausted: bool) -> None:
        quota = Quota(pool.scope, used, pool.limit, exhausted)
        self._instruments.quotas[pool.scope.value, "used_up" if exhausted else "nearly"] += 1
        client.deliver(server_frame("quota", to_json(quota), room=membership.room))
        self._chronicle.quota(membership.room, membership.member, msgspec.to_builtins(quota))


def _pools(client: Client, membership: Membership) -> Iterator[_Pool]:
    grants = client.grants_in(membership.room)
    budget = grants.relay or RelayBudget()
    if budget.session_bytes is not None:
        yield _Pool(Scope.SESSION, client.sid, budget.session_bytes)
    if budget.room_bytes is not None:
        yield _Pool(Scope.ROOM, membership.room, budget.room_bytes)
    if budget.total_bytes is not None and grants.user is not None:
        yield _Pool(Scope.TOTAL, grants.user, budget.total_bytes)
