"""The engine for several nodes."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from fairlead.clock import Entropy
from fairlead.metrics import Metrics
from signal_api.engine.contract import AtHand, Census, Once, Stored
from signal_api.engine.redis.books import REPORT, REPORTS, SPEND
from signal_api.engine.redis.inbox import Inbox
from signal_api.engine.redis.journal import Journal
from signal_api.engine.redis.meters import Meters
from signal_api.engine.redis.nodes import Nodes
from signal_api.engine.redis.parcels import (
    for_nodes,
    hashed,
    read_report,
    read_room,
    write,
    write_member,
    write_room,
)
from signal_api.engine.redis.scripts import COMMIT, LIST, LOAD, PUBLISH, REVOKE
from signal_api.engine.redis.store import PATIENCE, Store
from signal_api.engine.redis.vault import Vault
from signal_api.protocol.effects import Effect, Revoked
from signal_api.protocol.refusals import EngineUnavailableError
from signal_api.protocol.revocations import Revocation
from signal_api.protocol.rooms import Room, ruins
from signal_api.relay.ledger import Spending, Spent
from signal_api.relay.reports import EACH as REPORTS_EACH
from signal_api.relay.reports import Report
from signal_api.timers import Clock

#: rooms that are remembered as they were last seen
_SEEN = 1024
#: rooms of a list that are read at once: half of what the store takes, so that a back end keeps nobody out
_AT_ONCE = 16
_NOBODY = Stored(None, 0)


class RedisEngine:
    """Rooms in Redis under compare-and-set; sessions in a vault there."""

    def __init__(
        self, url: str, prefix: str, clock: Clock, entropy: Entropy, metrics: Metrics, patience: float = PATIENCE
    ) -> None:
        """`patience` is how many seconds a call of Redis may take."""
        meters = Meters(metrics)
        self._store = Store(url, prefix, meters, patience)
        self._inbox = Inbox(self._store, self._handle, self._lose)
        self._journal = Journal(self._store, self._inbox, clock)
        self._vault = Vault(self._store, self._inbox, self._journal)
        self._nodes = Nodes(self._store, self._inbox, self._vault, entropy)
        meters.watch(lambda: not self._store.is_away, self._nodes.states, lambda: self._nodes.lag)
        self._seen: OrderedDict[str, Stored] = OrderedDict()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def at_hand(self) -> AtHand | None:
        return None

    @property
    def vault(self) -> Vault:
        return self._vault

    async def start(self) -> None:
        """Also without Redis, which is looked for until it answers; raises BarredError when it says no."""
        await self._nodes.begin()
        for work in (self._nodes.run(), self._inbox.run(), self._journal.run()):
            self._tasks.append(asyncio.create_task(work))

    def retire(self) -> None:
        """Takes nothing over any more."""
        self._nodes.adopts = False

    async def stop(self) -> None:
        """Writes what was not written yet, and goes; the sessions of this node are for others to find."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._vault.close()
        try:
            await self._journal.write(settle=False)
            await self._nodes.leave()
        except EngineUnavailableError:
            pass  # The others find out by themselves.
        await self._store.close()

    def subscribe(self, deliver: Callable[[Effect], None]) -> None:
        self._vault.deliver = deliver

    async def load(self, name: str) -> Stored:
        seen = self._seen.get(name, _NOBODY)
        version, *data = await self._store.run(LOAD, hashed(name), seen.version)
        if version == 0:
            self._seen.pop(name, None)
            return _NOBODY
        if data:
            read = self._store.readable(read_room, data, f"room {name}")
            seen = Stored(read[0] if read else ruins(name), version)
        self._remember(name, seen)
        return seen

    async def commit(self, name: str, version: int, room: Room | None, effects: Sequence[Effect]) -> bool:
        before = self._seen.get(name, _NOBODY)
        if before.version != version and (before := await self.load(name)).version != version:
            return False
        was, now = _members(before.room), _members(room)
        changed = [(sid, member) for sid, member in now.items() if was.get(sid) != member]
        joined = [part for sid, member in changed for part in (sid, int(sid not in was), write_member(name, member))]
        left = [sid for sid in was if sid not in now]
        until = "" if room is None or room.until is None else round(room.until * 1000)
        until = "kept" if room is not None and room.terms.kept else until
        sizes = [int(room is not None and room.is_open), len(now), until]
        places = [len(changed), *joined, len(left), *left]
        key, data = hashed(name), write_room(room)
        done = await self._store.run(COMMIT, key, name, version, data, *sizes, *places, *for_nodes(effects))
        if done < 0:
            raise EngineUnavailableError("the store does not have this session")
        return bool(done)

    async def rooms(self, after: str, most: int) -> list[Room]:
        found: list[Room] = []
        while len(found) < most and (names := await self._store.run(LIST, after, most)):
            after = names[-1].decode()
            for first in range(0, len(names), _AT_ONCE):
                some = names[first : first + _AT_ONCE]
                stored = await asyncio.gather(*(self.load(name.decode()) for name in some))
                found += [one.room for one in stored if one.room is not None]
        return found[:most]

    async def revoke(self, revocation: Revocation) -> None:
        name = f"{revocation.kind}:{revocation.id}"
        kept = b"" if revocation.is_lifted else write(revocation)
        await self._store.run(REVOKE, name, kept, round(revocation.until * 1000), *for_nodes((Revoked(revocation),)))

    async def publish(self, effects: Sequence[Effect], once: Once | None = None) -> None:
        sid, frame_id = once or ("", "")
        await self._store.run(PUBLISH, sid, frame_id, *for_nodes(effects))

    async def spend(self, spendings: Sequence[Spending]) -> list[Spent]:
        arguments: list[Any] = [len(spendings)]
        for relay, total, pools in spendings:
            arguments += [hashed(relay), "" if total is None else total, len(pools), *map(hashed, pools)]
        return [Spent(total, fresh, tuple(used)) for total, fresh, *used in await self._store.run(SPEND, *arguments)]

    async def report(
        self, turn_user: str, report: Report, once: Once | None = None, effects: Sequence[Effect] = ()
    ) -> bool:
        arguments = [*(once or ("", "")), turn_user, write(report), REPORTS_EACH, *for_nodes(effects)]
        return bool(await self._store.run(REPORT, *arguments))

    async def reports(self, turn_users: Sequence[str]) -> list[Sequence[Report]]:
        told = await self._store.run(REPORTS, *turn_users)
        return [self._store.readable(read_report, one, "report") for one in told]

    def census(self) -> Census:
        return self._nodes.census

    def troubles(self) -> Sequence[str]:
        if self._store.is_away or self._nodes.problem:
            return [f"{self._nodes.problem or 'the store does not answer'}, at {self._store.place}"]
        return []

    def _remember(self, name: str, stored: Stored) -> None:
        self._seen[name] = stored
        self._seen.move_to_end(name)
        if len(self._seen) > _SEEN:
            self._seen.popitem(last=False)

    def _handle(self, number: int, kind: bytes, a: bytes, b: bytes) -> None:
        self._vault.handle(number, kind, a, b)

    def _lose(self) -> None:
        self._nodes.lose()


def _members(room: Room | None) -> dict[str, Any]:
    return {member.sid: member for member in room.members.values()} if room is not None else {}
