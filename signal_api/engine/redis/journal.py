"""Keeps the sessions of this node in Redis: what changed is written soon after, many sessions at once.

Frames go to clients before they are kept. Who comes back elsewhere after this node died may therefore have seen more
than was kept; that is found out then (signal_api.protocol.sessions.Session.since), and it begins anew.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from signal_api.clients import Client
from signal_api.engine.redis.inbox import Inbox
from signal_api.engine.redis.parcels import write
from signal_api.engine.redis.scripts import KEEP, SETTLE
from signal_api.engine.redis.store import Store
from signal_api.luggage import pack
from signal_api.protocol.refusals import EngineUnavailableError
from signal_api.timers import Clock

#: seconds for which changes are gathered
_GATHER = 0.01
#: seconds until the next attempt when Redis does not answer
_PAUSE = 0.25
#: seconds for which the stream still holds what is kept: whoever takes over a session may be about to read it
HOLD = 3.0
#: the fence of a session that was never anywhere else
_FIRST = 1
#: instead of a fence: nobody has the session
_NOBODYS = -1
#: sessions that are written at once
_MOST = 128


@dataclass(slots=True, eq=False)
class Tenure:
    """This node's hold on a session: entries of its stream up to `since` were for an earlier one. `fence` grows with
    every change of hands; 0 until Redis has given one."""

    client: Client
    fence: int
    since: int
    #: the log up to here is in Redis, under this epoch
    epoch: str | None = None
    seq: int = 0
    #: what of the record is in Redis
    record: tuple[Any, ...] = ()
    is_ended: bool = False

    @property
    def is_ready(self) -> bool:
        """Whether it may be written: Redis knows it, and all that it was told has a number."""
        return bool(self.fence) and not self.client.session.news


class _End(NamedTuple):
    """How a session is to end in Redis: under its fence, once these rooms do not have it any more."""

    fence: int
    out: tuple[str, ...] = ()


class Journal:
    """The sessions of this node, and which of them differ from what Redis has."""

    def __init__(self, store: Store, inbox: Inbox, clock: Clock) -> None:
        self.tenures: dict[str, Tenure] = {}
        #: is told of a session that Redis knows no more
        self.forgotten: Callable[[Client], None] = lambda _: None
        #: is told of a session that has ended and is a member of these rooms: `end_at_last` comes when it is not
        self.lingering: Callable[[str, tuple[str, ...]], None] = lambda _, __: None
        self._store = store
        self._inbox = inbox
        self._clock = clock
        #: for each session that changed, the first entry of the stream that it may not have kept
        self._changed: dict[str, int] = {}
        #: sessions that have ended, until Redis has answered that it knows
        self._ended: dict[str, _End] = {}
        #: those of which it has answered that rooms still have them
        self._lingering: dict[str, _End] = {}
        self._due = asyncio.Event()
        #: entries of the stream up to this one are needed no more
        self._settled = 0
        #: what was settled, and when, until the stream may lose it
        self._holds: deque[tuple[float, int]] = deque()

    def changed(self, sid: str) -> None:
        """A session has changed, through the entry that is being handled or by itself."""
        if sid in self.tenures:
            self._changed.setdefault(sid, self._inbox.applied + 1)
            self._due.set()

    def dismiss(self, sid: str) -> Tenure | None:
        """Somebody else goes on with it."""
        self._changed.pop(sid, None)
        return self.tenures.pop(sid, None)

    def end(self, sid: str) -> None:
        """Nobody goes on with it."""
        tenure = self.dismiss(sid)
        if tenure is None:
            return
        tenure.is_ended = True
        if tenure.fence:  # Or else `open` sees to it, once Redis has given one.
            self._end(sid, _End(tenure.fence))

    def _end(self, sid: str, end: _End) -> None:
        self._ended[sid] = end
        self._due.set()

    def end_at_last(self, sid: str) -> None:
        """The rooms do not have it any more that had it when it ended."""
        end = self._lingering.pop(sid, None)
        if end is not None:
            self._end(sid, end)

    def has_ended(self, sid: str, fence: int) -> bool:
        """Whether a session has ended here that Redis may still have."""
        end = self._ended.get(sid) or self._lingering.get(sid)
        return end is not None and end.fence == fence

    def forget_all(self) -> list[Tenure]:
        """Redis keeps none of them any more."""
        tenures = list(self.tenures.values())
        for everything in (self.tenures, self._changed, self._ended, self._lingering):
            everything.clear()
        self._settled = 0
        self._holds.clear()
        return tenures

    async def open(self, tenures: Iterable[Tenure], instead_of: str = "") -> list[Tenure]:
        """Keeps sessions that are new, or that a node of that name had; returns those that belong to others."""
        refused = []
        opened = list(tenures)
        for first in range(0, len(opened), _MOST):
            some = opened[first : first + _MOST]
            for tenure in some:
                self.tenures[tenure.client.sid] = tenure
            try:
                fences = await self._keep(some, instead_of)
            except BaseException:
                for tenure in opened[first:]:
                    self.dismiss(tenure.client.sid)
                    if not instead_of:  # It may have been kept all the same, and nobody will ask for it.
                        self._end(tenure.client.sid, _End(_FIRST))
                raise
            for tenure, fence in zip(some, fences, strict=True):
                tenure.fence = fence
                if not fence:
                    self.dismiss(tenure.client.sid)
                    refused.append(tenure)
                elif tenure.is_ended:
                    self.dismiss(tenure.client.sid)
                    self._end(tenure.client.sid, _End(fence))
        return refused

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await self._due.wait()
            await asyncio.sleep(_GATHER)
            self._due.clear()
            try:
                await self.write()
            except EngineUnavailableError:
                self._due.set()
                await asyncio.sleep(_PAUSE)

    async def write(self, settle: bool = True) -> None:
        """Writes what changed, and settles the stream up to there unless others are about to read it.

        Sessions whose news still gathers are left for the next time: news has no number yet.
        """
        held_back = {sid: first for sid, first in self._changed.items() if not self.tenures[sid].is_ready}
        writing = {sid: first for sid, first in self._changed.items() if sid not in held_back}
        at = min(held_back.values(), default=self._inbox.applied + 1) - 1
        if held_back:
            self._due.set()
        self._changed = held_back
        try:
            while writing or self._ended:
                sids = list(writing)[:_MOST]
                some = [tenure for sid in sids if (tenure := self.tenures.get(sid)) is not None]
                for tenure in some:
                    if not tenure.is_ready:  # Its news began to gather while others were written.
                        first = writing[tenure.client.sid]
                        self._changed[tenure.client.sid] = first
                        at = min(at, first - 1)
                ready = [tenure for tenure in some if tenure.is_ready]
                self._give_up(ready, await self._keep(ready))
                for sid in sids:
                    del writing[sid]
            if settle and at > self._settled:
                await self._settle(at)
        except BaseException:
            for sid, first in writing.items():
                if sid in self.tenures:
                    self._changed[sid] = min(first, self._changed.get(sid, first))
            raise

    def _give_up(self, tenures: list[Tenure], fences: list[int]) -> None:
        """What nobody has any more. What another node has is kept until it is asked for."""
        for tenure, fence in zip(tenures, fences, strict=True):
            sid = tenure.client.sid
            if fence == _NOBODYS and self.tenures.get(sid) is tenure:
                self.dismiss(sid)
                self.forgotten(tenure.client)

    async def _settle(self, at: int) -> None:
        now = self._clock.now().monotonic
        self._holds.append((now, at))
        trim = 0
        while self._holds[0][0] <= now - HOLD:
            trim = self._holds.popleft()[1]
        await self._store.run(SETTLE, at, trim)
        self._settled = at

    async def _keep(self, tenures: list[Tenure], instead_of: str = "") -> list[int]:
        ended = tuple(self._ended.items())
        arguments: list[Any] = [self._inbox.applied, len(ended)]
        for sid, end in ended:
            arguments += [sid, end.fence, len(end.out), *end.out]
        arguments.append(len(tenures))
        written = []
        for tenure in tenures:
            arguments += self._session(tenure, instead_of)
            session = tenure.client.session
            written.append((session.epoch, session.seq, record_of(tenure.client)))
        fences, still = await self._store.run(KEEP, *arguments)
        self._part(ended, {sid.decode(): tuple(room.decode() for room in rooms) for sid, rooms in still})
        for tenure, fence, (epoch, seq, record) in zip(tenures, fences, written, strict=True):
            if fence > 0:
                tenure.epoch, tenure.seq, tenure.record = epoch, seq, record
        return list(fences)

    def _part(self, ended: Iterable[tuple[str, _End]], still: dict[str, tuple[str, ...]]) -> None:
        """Forgets what Redis has forgotten; a session that rooms still have waits for them."""
        for sid, end in ended:
            if self._ended.get(sid) is not end:
                continue
            del self._ended[sid]
            if sid in still:
                self._lingering[sid] = end._replace(out=(*end.out, *still[sid]))
                self.lingering(sid, still[sid])

    def _session(self, tenure: Tenure, instead_of: str) -> list[Any]:
        session = tenure.client.session
        known = tenure.seq if tenure.epoch == session.epoch else 0
        fresh = [write(entry.frame) for entry in session.log if entry.seq > known]
        record = b""
        if tenure.record != record_of(tenure.client):
            record = write(pack(tenure.client, self._clock.now(), whole=False))
        kept = len(session.log)
        log = (session.seq, kept, int(known == 0), len(fresh), *fresh)
        return [session.sid, tenure.fence, instead_of, record, *log]


def record_of(client: Client) -> tuple[Any, ...]:
    """What the record of a session says, so far as it can change."""
    session = client.session
    places = tuple((m.room, m.member, m.present, m.meta, m.grants, m.terms) for m in session.rooms.values())
    owed = client.is_regranted, client.begins_anew
    return session.epoch, client.grants, client.visitor, places, tuple(client.renewals.items()), owed
