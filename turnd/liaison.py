"""turnd's side of the link to signal_api: what happens here is told, what is commanded is carried out."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from fairlead import link
from fairlead.credentials import parse_username
from fairlead.datagram import FiveTuple
from fairlead.log import get_logger
from fairlead.stun.header import Method
from turnd.dataplane.contract import Usage
from turnd.protocol import effects as do
from turnd.protocol.allocations import Allocation, Allocations
from turnd.protocol.bandwidth_change import limit_allocation
from turnd.protocol.fences import FenceMode
from turnd.protocol.policy_change import announce
from turnd.server import Event, TurnServer

_log = get_logger("turnd")

#: Seconds between two reports of what living allocations have relayed.
USAGE_INTERVAL = 5.0
#: Allocations that are reported at once, and seconds until the next ones are: an engine is asked for each, and all of
#: a thousand calls would hold the loop for as long as a frame of video lasts.
PORTION = 50
PORTION_INTERVAL = 0.02
#: Seconds between two looks at allocations that have a budget.
BUDGET_INTERVAL = 0.25

#: Something that is done again and again, in portions.
_Round: TypeAlias = Callable[[], Iterator[None]]


class Liaison:
    """Speaks for one server; `publish` sends an event to every signal_api that is connected."""

    def __init__(self, server: TurnServer, publish: Callable[[link.Event], None]) -> None:
        self._server = server
        self._publish = publish
        self._reported: dict[int, link.Traffic] = {}
        self._budgeted: set[int] = set()
        self._timers: dict[_Round, asyncio.TimerHandle] = {}
        self._draining: link.Draining | None = None

    # Events

    def start(self) -> None:
        """Reports usage from now on."""
        self._begin_later(self.report_usage, USAGE_INTERVAL)
        self._begin_later(self.watch_budgets, BUDGET_INTERVAL)

    def stop(self) -> None:
        for timer in self._timers.values():
            timer.cancel()

    def watch(self, event: Event, usage: Usage | None) -> None:
        """A watcher of the server."""
        match event:
            case do.Allocated():
                self._publish(_allocated(event.allocation, event.username, event.five_tuple, str(event.relayed)))
            case do.Ended():
                self._reported.pop(event.allocation, None)
                traffic = _traffic(usage or Usage())
                self._publish(link.Ended(event.allocation, event.username, event.reason, event.seconds, traffic))
            case do.Refused():
                method = Method(event.method).name.lower()
                client = str(event.five_tuple.client)
                self._publish(link.Refused(event.username, client, method, event.code, event.reason))

    def living(self) -> Iterator[link.Event]:
        """What a signal_api that connects has to know."""
        if self._draining is not None:
            yield self._draining
        for allocation in self._allocations():
            relayed = str(self._server.relay.state.told(allocation.relay.address))
            yield _allocated(allocation.id, allocation.account.username, allocation.five_tuple, relayed)

    def drain(self, draining: link.Draining) -> None:
        """Tells that this server takes no new allocations."""
        self._draining = draining
        self._publish(draining)

    def report_usage(self, most: int = PORTION) -> Iterator[None]:
        """Tells of every living allocation what it has relayed since the last report said otherwise; of so many in each
        step, between which others have their turn."""
        living = self._server.relay.state.allocations.by_id
        for place, number in enumerate(list(living), start=1):
            if number in living:
                self._report(living[number])
            if not place % most:
                yield

    def watch_budgets(self, most: int = PORTION) -> Iterator[None]:
        """Tells of what has a budget more often than of the rest; step by step as report_usage does."""
        for place, number in enumerate(tuple(self._budgeted), start=1):
            allocation = self._server.relay.state.allocations.by_id.get(number)
            if allocation is None or allocation.budget is None:
                self._budgeted.discard(number)
            else:
                self._report(allocation)
            if not place % most:
                yield

    def _report(self, allocation: Allocation) -> None:
        """Tells what it has relayed; when that is as much as it may, that is its end."""
        traffic = _traffic(self._server.engine.usage(allocation.relay.id))
        if traffic != self._reported.get(allocation.id, link.Traffic()):
            self._reported[allocation.id] = traffic
            self._publish(link.Usage(allocation.id, allocation.account.username, traffic))
        if allocation.budget is not None and traffic.bytes_to_peer + traffic.bytes_to_client >= allocation.budget:
            self._end([allocation], do.EndReason.QUOTA)

    def _begin_later(self, of: _Round, interval: float) -> None:
        self._timers[of] = asyncio.get_running_loop().call_later(interval, self._go_on, of, interval, of())

    def _go_on(self, of: _Round, interval: float, portions: Iterator[None]) -> None:
        """With a round, which begins anew so many seconds behind its end."""
        is_done = next(portions, True)
        if is_done:
            self._begin_later(of, interval)
        else:
            loop = asyncio.get_running_loop()
            self._timers[of] = loop.call_later(PORTION_INTERVAL, self._go_on, of, interval, portions)

    def _allocations(self) -> list[Allocation]:
        return list(self._server.relay.state.allocations.by_id.values())

    # Commands

    def receive(self, command: link.Command) -> None:
        """Carries a command out at once; what the log says of it has been done."""
        match command:
            case link.Revoke():
                self._revoke(command)
                _log.info("revoked", by=command.by, value=command.value, why=command.reason)
            case link.End():
                self._end(_doomed(self._server.relay.state.allocations, command), do.EndReason.ADMIN)
                _log.info("allocations ended on command", by=command.by, value=command.value, why=command.reason)
            case link.Budget():
                self._set_budget(command)
            case link.Fence():
                mode, now = FenceMode(command.mode), self._server.clock()
                state = self._server.relay.state
                self._server.execute(announce(state, command.room, mode, command.hosts, now))

    def _end(self, doomed: Iterable[Allocation], reason: do.EndReason) -> None:
        self._server.execute(self._server.relay.end(doomed, reason, self._server.clock()))

    def _set_budget(self, command: link.Budget) -> None:
        allocation = self._server.relay.state.allocations.by_id.get(command.allocation)
        if allocation is not None and allocation.account.username == command.username:
            allocation.budget = command.bytes
            self._budgeted.add(allocation.id)
            self._server.execute(limit_allocation(self._server.relay.state, allocation, command.bandwidth))

    def _revoke(self, command: link.Revoke) -> None:
        relay, now = self._server.relay, self._server.clock()
        if command.by is link.RevokeBy.USER and command.expiring is not None:
            self._server.execute(relay.revoke_expiring(command.value, command.expiring, now, command.parting))
            return
        # No time-limited credential that is good today is good for longer. A static user leaves with the file.
        until = now.wall + relay.state.authenticator.longest
        if command.by is link.RevokeBy.USERNAME:
            limited = parse_username(command.value)
            until = float(limited.expires) if limited is not None else until
        self._server.execute(relay.revoke(command.value, until, now))


def _doomed(allocations: Allocations, command: link.End) -> Iterable[Allocation]:
    value = command.value
    match command.by:
        case link.EndBy.ALLOCATION:
            return [row for row in allocations.by_id.values() if str(row.id) == value]
        case link.EndBy.USERNAME:
            return [row for row in allocations.of_name(value) if row.account.username == value]
        case link.EndBy.ROOM:
            return allocations.by_room.get(value, {}).values()


def _allocated(number: int, username: str, five_tuple: FiveTuple, relayed: str) -> link.Allocated:
    return link.Allocated(number, username, five_tuple.transport, str(five_tuple.client), relayed)


def _traffic(usage: Usage) -> link.Traffic:
    return link.Traffic(usage.packets_to_peer, usage.bytes_to_peer, usage.packets_to_client, usage.bytes_to_client)
