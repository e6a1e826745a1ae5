"""Which nodes there are: this one shows that it lives, and takes over from those that do not."""

import asyncio
import contextlib
from typing import NamedTuple

from fairlead.clock import Entropy
from fairlead.log import get_logger
from signal_api.engine.contract import Census
from signal_api.engine.redis.inbox import Inbox
from signal_api.engine.redis.parcels import read_revocation
from signal_api.engine.redis.scripts import BEAT, LEAVE, ORPHANS, REGISTER
from signal_api.engine.redis.store import BarredError, LostError, Store
from signal_api.engine.redis.vault import Vault
from signal_api.protocol.effects import Revoked
from signal_api.protocol.names import letters
from signal_api.protocol.refusals import CloseCode, EngineUnavailableError

#: seconds between two beats, and until the next attempt when there was none
_BEAT, _AGAIN = 1.0, 0.25
#: beats of ours that another node may miss before it is not waited for, and before its sessions are taken over
_SILENT, _DEAD = 2, 6
#: sessions that are taken over at once
_ORPHANS = 32
#: beats after which everything that lives has its time in Redis renewed, which is four times that
_RENEWAL = 21600
_GONE = b"gone"

_log = get_logger("signal_api.engine")


class _Seen(NamedTuple):
    """The beats of another node, and for how many of ours they have not changed."""

    beats: bytes
    missed: int


class Nodes:
    """The life of this node in Redis. Time is counted in beats that Redis answered, so that nobody is taken for dead
    while Redis is away."""

    def __init__(self, store: Store, inbox: Inbox, vault: Vault, entropy: Entropy) -> None:
        self.census = Census(0, 0)
        #: entries of the stream that were not read at the last beat
        self.lag = 0
        #: whether sessions of dead nodes are taken over
        self.adopts = True
        self._store = store
        self._inbox = inbox
        self._vault = vault
        self._entropy = entropy
        self._run_id = ""
        self._beats = 0
        self._seen: dict[str, _Seen] = {}
        #: under which name this node was lost, until it lives again
        self._lost: str | None = None
        self._adopting: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        #: why Redis could not be asked when it was last tried
        self.problem = ""
        self._is_known = False

    async def begin(self) -> None:
        """Registers; where Redis does not answer yet, that is left to `run`. Raises BarredError where it never will."""
        try:
            await self.register()
        except BarredError:
            raise
        except EngineUnavailableError as error:
            self._miss(error)

    async def register(self) -> None:
        """Begins under a name of its own, and learns what is revoked."""
        self._run_id = await self._store.measure()
        self._store.node = letters(self._entropy(16))
        self._beats = 0
        self._inbox.restart()
        is_first, revocations = await self._store.probe(REGISTER)
        for revocation in self._store.readable(read_revocation, revocations, "revocation"):
            self._vault.deliver(Revoked(revocation))
        if is_first:
            self._vault.clear_out()
        self._is_known = True

    def lose(self) -> None:
        """Something that was for this node is gone for good."""
        self._lost = self._store.node
        self._store.alarm.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        loop, due = asyncio.get_running_loop(), 0.0
        while True:
            self._store.alarm.clear()
            try:
                if self._is_known and self._lost is None and loop.time() < due:
                    await self._store.measure()  # Somebody was not answered; whether others are is seen now.
                else:
                    await self._live()
                    due = loop.time() + _BEAT
                await self._vault.house(self._store.node)
                self._meet()
                pause = due - loop.time()
            except LostError:
                self.lose()
                pause = 0.0
            except EngineUnavailableError as error:
                self._miss(error)
                self._store.alarm.clear()
                pause = _AGAIN
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._store.alarm.wait(), pause)

    async def _live(self) -> None:
        if not self._is_known:
            await self.register()
        elif self._lost is None:
            await self._beat()
        else:
            await self._begin_anew(self._lost)

    def _miss(self, error: EngineUnavailableError) -> None:
        """Redis was asked in vain: said when that begins, and when it turns out to be nothing that passes."""
        is_barred = isinstance(error, BarredError)
        if self._is_known and not self._store.is_away and not is_barred:
            return  # It answered, and this process was too slow.
        if not self.problem or (is_barred and self.problem != str(error)):
            self.problem = str(error)
            remedy = "start Redis, or correct signal_api.engine.url; it is asked again four times a second"
            _log.warning(
                "without Redis nobody can join a room or open a session",
                at=self._store.place,
                problem=self.problem,
                remedy=remedy,
            )

    def _meet(self) -> None:
        if self.problem:
            self.problem = ""
            _log.info("Redis answers", at=self._store.place)

    async def leave(self) -> None:
        """The others need not wait to find out."""
        for task in (self._adopting, self._renewing):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self._is_known:
            with contextlib.suppress(EngineUnavailableError):
                await self._store.run(LEAVE)

    async def _beat(self) -> None:
        run_id, applied = await self._store.measure(), self._inbox.applied
        _, beats, last, nodes, rooms, members = await self._store.probe(BEAT)
        # More beats than were answered are no harm: an answer may be lost on its way.
        if run_id != self._run_id or beats <= self._beats or int(last) < applied:
            raise LostError("the store was begun anew, or went back in time")
        self._beats, self.lag = beats, max(0, int(last) - self._inbox.applied)
        self.census = Census(int(rooms), int(members))
        if self._beats % _RENEWAL == 0 and (self._renewing is None or self._renewing.done()):
            self._renewing = asyncio.create_task(self._vault.renew())  # The next beat does not wait for it.
        self._watch(dict(zip(nodes[::2], nodes[1::2], strict=True)))

    def states(self) -> dict[tuple[str, ...], float]:
        """How many nodes live, and how many were not heard of lately."""
        silent = sum(missed >= _SILENT or beats == _GONE for beats, missed in self._seen.values())
        return {("alive",): 1 + len(self._seen) - silent, ("silent",): silent}

    def _watch(self, beats: dict[bytes, bytes]) -> None:
        seen = {}
        for name, count in beats.items():
            node = name.decode()
            if node != self._store.node:
                before = self._seen.get(node)
                seen[node] = _Seen(count, before.missed + 1 if before is not None and before.beats == count else 0)
        self._seen = seen
        gone = {node for node, (count, missed) in seen.items() if count == _GONE or missed >= _DEAD}
        self._vault.mind(gone | {node for node, (_, missed) in seen.items() if missed >= _SILENT})
        if gone and self.adopts and (self._adopting is None or self._adopting.done()):
            self._adopting = asyncio.create_task(self._adopt(gone))

    async def _adopt(self, nodes: set[str]) -> None:
        """Their sessions go on here, as sessions whose connection was lost."""
        with contextlib.suppress(EngineUnavailableError):
            for node in nodes:
                _log.info("another node is gone, and its sessions are taken over", node=node)
                while (sids := await self._store.run(ORPHANS, node, _ORPHANS)) is not None:
                    claims = (self._vault.claim(sid.decode(), CloseCode.REBALANCE, node) for sid in sids)
                    await asyncio.gather(*claims, return_exceptions=True)

    async def _begin_anew(self, old: str) -> None:
        await self.register()
        self._seen.clear()
        await self._vault.begin_anew(old)
        self._lost = None
        self._store.meters.epochs[()] += 1
        _log.warning("the store had lost this node; all its sessions begin anew", was=old, now=self._store.node)
