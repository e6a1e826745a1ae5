"""Sessions on their way to this node: claimed, then handed over by the node that had them, or read from what it left.

A claim may have taken effect though its answer was lost. So whoever has claimed a session goes on until it is known
whose it is, also when nobody waits for it any more: otherwise the session would be this node's without anybody holding
it. Redis repeats the answer to a claim (`moved`) until the session is kept here, and what comes for the session
meanwhile waits.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from signal_api.clients import Client
from signal_api.engine.redis.journal import Journal
from signal_api.engine.redis.parcels import pairs, read_luggage, restored
from signal_api.engine.redis.remains import Remains
from signal_api.engine.redis.scripts import CLAIM, READ
from signal_api.engine.redis.store import Store
from signal_api.luggage import Luggage
from signal_api.protocol.effects import Effect
from signal_api.protocol.refusals import CloseCode, EngineUnavailableError

#: seconds that whoever wants a session waits for it, and that its old node has to hand it over
_PATIENCE, _HANDOVER = 2.0, 0.6
#: milliseconds after which a move that was not finished may be begun anew elsewhere
_MOVE = 1500
#: seconds between two looks at a session that is on its way elsewhere, and after an answer that was lost
_LOOK, _AGAIN = 0.05, 0.25


class Move(NamedTuple):
    """How a session came to be this node's: from whom, up to which entry of its stream that node had kept all, with
    which entry it was told, under which fence, and behind which entry of our stream the session is ours."""

    owner: str
    at: int
    told: int
    fence: int
    since: int


@dataclass(slots=True, eq=False)
class _Arrival:
    """`luggage` is what the old node hands over, `answer` is for whoever asked, `outdone` the fence of a later claim by
    another node. The stream may be faster than the reply that says by which fence and since when it is ours."""

    luggage: asyncio.Future[tuple[int, bytes]]
    answer: asyncio.Future[Client | None]
    over: asyncio.Event = field(default_factory=asyncio.Event)
    is_wanted: bool = True
    fence: int = 0
    outdone: int = 0
    waiting: list[tuple[int, Effect]] = field(default_factory=list)


#: has a session go on here, with what is left for it
Settle = Callable[[Luggage, Move, Sequence[Effect]], Client]


class Arrivals:
    """`settle` is called once for each session that comes; `silent` are nodes that are not waited for."""

    def __init__(self, store: Store, journal: Journal, settle: Settle) -> None:
        self.silent: set[str] = set()
        self._store = store
        self._journal = journal
        self._settle = settle
        self._remains = Remains(store)
        self._arrivals: dict[str, _Arrival] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._arrivals))

    async def claim(self, sid: str, code: CloseCode, owner: str = "") -> Client | None:
        """See signal_api.engine.contract.Vault; None also when another node than `owner` has it."""
        try:
            async with asyncio.timeout(_PATIENCE):
                while (other := self._arrivals.get(sid)) is not None:
                    await other.over.wait()
                arrival = self._begin(sid, code, owner)
                try:
                    return await asyncio.shield(arrival.answer)
                finally:
                    arrival.is_wanted = False
        except TimeoutError:
            raise EngineUnavailableError("the session is on its way to another node") from None

    # What the stream brings meanwhile

    def wait(self, sid: str, number: int, effect: Effect) -> None:
        """Something for a session that may be on its way."""
        arrival = self._arrivals.get(sid)
        if arrival is not None:
            arrival.waiting.append((number, effect))

    def hand_over(self, sid: str, fence: int, packed: bytes) -> None:
        """What the old node of a session brings."""
        arrival = self._arrivals.get(sid)
        if arrival is not None and arrival.fence in (0, fence) and not arrival.luggage.done():
            arrival.luggage.set_result((fence, packed))

    def outdo(self, sid: str, fence: int) -> None:
        """Another node has claimed a session that may still be on its way here."""
        arrival = self._arrivals.get(sid)
        if arrival is not None:
            arrival.outdone = max(arrival.outdone, fence)

    def forget_all(self) -> None:
        """Redis does not know this node any more, nor what it has claimed."""
        for arrival in self._arrivals.values():
            arrival.over.set()
        self._arrivals.clear()

    async def close(self) -> None:
        """Leaves what is on its way to others."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Until it is known whose it is

    def _begin(self, sid: str, code: CloseCode, owner: str) -> _Arrival:
        loop = asyncio.get_running_loop()
        arrival = self._arrivals[sid] = _Arrival(loop.create_future(), loop.create_future())
        task = loop.create_task(self._bring(sid, arrival, code, owner))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return arrival

    async def _bring(self, sid: str, arrival: _Arrival, code: CloseCode, owner: str) -> None:
        try:
            while self._arrivals.get(sid) is arrival:
                try:
                    client = await self._attempt(sid, arrival, code, owner)
                except EngineUnavailableError as error:
                    _fail(arrival, error)
                    # It is not claimed again: its client may have gone on elsewhere. But it may have been ours since.
                    owner = self._store.node
                    await asyncio.sleep(_AGAIN)
                else:
                    if not arrival.answer.done():
                        arrival.answer.set_result(client)
                    return
        finally:
            if self._arrivals.get(sid) is arrival:
                del self._arrivals[sid]
            arrival.over.set()
            _fail(arrival, EngineUnavailableError("this node is not what it was"))

    async def _attempt(self, sid: str, arrival: _Arrival, code: CloseCode, owner: str) -> Client | None:
        state, *found = await self._store.run(CLAIM, sid, code.value, owner, _MOVE)
        while state == b"busy" and arrival.is_wanted:
            await asyncio.sleep(_LOOK)
            state, *found = await self._store.run(CLAIM, sid, code.value, owner, _MOVE)
        if state in (b"unknown", b"busy"):
            return None
        tenure = self._journal.tenures.get(sid)
        if tenure is not None:
            return tenure.client
        fence, moved = found
        return None if self._journal.has_ended(sid, fence) else await self._take_in(sid, arrival, fence, moved)

    async def _take_in(self, sid: str, arrival: _Arrival, fence: int, moved: bytes) -> Client | None:
        owner, at, told, since = moved.split() if moved else (b"", b"0", b"0", b"0")
        move = Move(owner.decode(), int(at), int(told), fence, int(since))
        arrival.fence = fence
        luggage, left = await self._handed_over(arrival, move), list[Effect]()
        if luggage is None:
            luggage, left = await self._left_behind(sid, arrival, move)
        if self._arrivals.get(sid) is not arrival or arrival.outdone > fence:
            raise EngineUnavailableError("the session has gone on to another node")
        left += [effect for number, effect in arrival.waiting if number > move.since]
        if luggage is None:
            return None
        how = "renewed" if not luggage.epoch else "handed_over" if luggage.is_certain else "read"
        self._store.meters.takeovers[how,] += 1
        return self._settle(luggage, move, left)

    async def _handed_over(self, arrival: _Arrival, move: Move) -> Luggage | None:
        if not move.owner or (move.owner in self.silent and not arrival.luggage.done()):
            return None
        try:
            async with asyncio.timeout(_HANDOVER):
                await asyncio.shield(arrival.luggage)
        except TimeoutError:
            return None
        return _brought(arrival)

    async def _left_behind(self, sid: str, arrival: _Arrival, move: Move) -> tuple[Luggage | None, list[Effect]]:
        """The session as Redis has it, and with what its node was still to take to it."""
        told_of, frames = await self._store.run(READ, sid)
        found = pairs(told_of)
        if b"record" not in found:
            return None, []
        record, left = read_luggage(found[b"record"]), None
        if found[b"on"].decode() == move.owner:
            first = max(move.at, int(found[b"src"])) + 1
            left = await self._remains.of(move.owner, sid, record.grants.user, first, move.told - 1)
        if (luggage := _brought(arrival)) is not None:
            return luggage, []
        if left is None:
            # Something is missing, so that no position in this log means anything any more.
            return msgspec.structs.replace(restored(record, found, []), epoch="", is_renewed=True), []
        return restored(record, found, frames), left


def _brought(arrival: _Arrival) -> Luggage | None:
    if not arrival.luggage.done():
        return None
    fence, packed = arrival.luggage.result()
    return read_luggage(packed) if packed and fence == arrival.fence else None


def _fail(arrival: _Arrival, error: EngineUnavailableError) -> None:
    if not arrival.answer.done():
        arrival.answer.set_exception(error)
        arrival.answer.exception()  # Nobody has to be waiting for it.
