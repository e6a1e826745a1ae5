"""Sessions that go from node to node: opened, claimed, handed over, and found again when their node is gone."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from fairlead.log import get_logger
from signal_api.clients import Client
from signal_api.effects import Addressed, Effect, Revoked, Tell
from signal_api.engine.contract import Keeper
from signal_api.engine.redis.inbox import Inbox
from signal_api.engine.redis.journal import Journal, Tenure
from signal_api.engine.redis.parcels import (
    for_session,
    narrowed,
    read_effect,
    read_frame,
    read_luggage,
    room_key,
    write,
)
from signal_api.engine.redis.remains import Remains
from signal_api.engine.redis.scripts import CLAIM, OWNER, PEEK, READ, TELL, TOUCH
from signal_api.engine.redis.store import Store
from signal_api.luggage import Luggage, read_place, write_place
from signal_api.refusals import CloseCode, EngineUnavailableError

#: seconds that the old node of a session has to hand it over, and to answer a question
_HANDOVER, _ANSWER = 0.6, 2.0
#: milliseconds after which a move that was not finished may be begun anew
_MOVE = 1500
#: seconds between two looks at a session that is on its way, and how many there are
_LOOK, _LOOKS = 0.05, 40
#: questions to other nodes that wait for their answers
_QUESTIONS = 1024
#: forgotten sessions that are written at once
_HOMELESS = 128

_log = get_logger("signal_api.engine")


@dataclass(slots=True)
class _Arrival:
    """A session that is on its way here, or is asked for: what comes for it meanwhile waits, with its number. The
    stream may be faster than the reply that says by which fence and since when it is ours."""

    luggage: asyncio.Future[tuple[int, bytes]]
    fence: int = 0
    since: int = 0
    waiting: list[tuple[int, Effect]] = field(default_factory=list)


class Vault:
    """See signal_api.engine.contract.Vault."""

    def __init__(self, store: Store, inbox: Inbox, journal: Journal) -> None:
        self.keeper: Keeper | None = None
        self.deliver: Callable[[Effect], None] = lambda _: None
        #: nodes that were not heard of lately
        self.silent: set[str] = set()
        self._store = store
        self._inbox = inbox
        self._journal = journal
        self._remains = Remains(store)
        self._arrivals: dict[str, _Arrival] = {}
        self._questions: dict[str, asyncio.Future[bytes]] = {}
        self._asked = 0
        #: clients that Redis has forgotten and not yet learned again
        self._homeless: list[Client] = []
        self._tasks: set[asyncio.Task[None]] = set()

    # For this node

    def attend(self, keeper: Keeper) -> None:
        self.keeper = keeper

    async def open(self, client: Client) -> None:
        client.keeper = self._journal.changed
        await self._journal.open([Tenure(client, 0, 0)])

    def end(self, sid: str) -> None:
        self._journal.end(sid)

    async def peek(self, sid: str) -> Luggage | None:
        found = _pairs(await self._store.run(PEEK, sid))
        return _luggage(read_luggage(found[b"record"]), found, []) if b"record" in found else None

    async def claim(self, sid: str, code: CloseCode, owner: str = "") -> Client | None:
        """This node goes on with a session, from now on alone; None when nobody has it, or `owner` has not."""
        for _ in range(_LOOKS):
            if sid not in self._arrivals:
                arrival = self._arrivals[sid] = _Arrival(asyncio.get_running_loop().create_future())
                try:
                    reply = await self._store.run(CLAIM, sid, code.value, owner, _MOVE)
                    if reply[0] == b"moved":
                        return await self._take_in(sid, arrival, *reply[1:])
                finally:
                    if self._arrivals.get(sid) is arrival:
                        del self._arrivals[sid]
                if reply[0] == b"mine":
                    tenure = self._journal.tenures.get(sid)
                    return tenure.client if tenure is not None else None
                if reply[0] == b"unknown":
                    return None
            await asyncio.sleep(_LOOK)
        raise EngineUnavailableError("the session is on its way to another node")

    async def ask(self, sid: str, question: bytes) -> bytes | None:
        """What the node of a session answers; None when nobody has the session."""
        node = await self._store.run(OWNER, sid)
        if not node or node.decode() in (self._store.node, *self.silent):
            return None
        if len(self._questions) >= _QUESTIONS:
            raise EngineUnavailableError("too many questions wait for other nodes")
        self._asked += 1
        number = f"{self._store.node} {self._asked}"
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._questions[number] = answer
        try:
            await self._store.run(TELL, node, "c", number, question)
            async with asyncio.timeout(_ANSWER):
                return await answer
        except TimeoutError:
            raise EngineUnavailableError("the node of the session does not answer") from None
        finally:
            del self._questions[number]

    # Moving in

    async def _take_in(
        self, sid: str, arrival: _Arrival, owner: bytes, at: int, told: int, fence: int, since: int
    ) -> Client | None:
        arrival.fence, arrival.since = fence, since
        luggage, left = await self._handed_over(arrival, owner.decode()), list[Effect]()
        if luggage is None:
            luggage, left = await self._left_behind(sid, owner.decode(), at, told)
        if luggage is None or self._arrivals.get(sid) is not arrival or self.keeper is None:
            return None
        client = self.keeper.take_in(luggage)
        client.keeper = self._journal.changed
        self._journal.tenures[sid] = Tenure(client, fence, since)
        self._journal.changed(sid)
        left += [effect for number, effect in arrival.waiting if number > since]
        for effect in left:
            mine = for_session(effect, sid, client.grants.user)
            if mine is not None:
                self.deliver(mine)
        return client

    async def _handed_over(self, arrival: _Arrival, owner: str) -> Luggage | None:
        if owner in self.silent:
            return None
        try:
            async with asyncio.timeout(_HANDOVER):
                fence, packed = await asyncio.shield(arrival.luggage)
        except TimeoutError:
            return None
        return read_luggage(packed) if packed and fence == arrival.fence else None

    async def _left_behind(self, sid: str, owner: str, at: int, told: int) -> tuple[Luggage | None, list[Effect]]:
        """The session as Redis has it, and with what its node was still to take to it."""
        told_of, frames = await self._store.run(READ, sid)
        found = _pairs(told_of)
        if b"record" not in found:
            return None, []
        record = read_luggage(found[b"record"])
        first = max(at, int(found[b"src"])) + 1
        left = await self._remains.of(owner, sid, record.grants.user, first, told - 1)
        if left is None or found[b"on"].decode() != owner:
            # Something is missing, so that no position in this log means anything any more.
            return msgspec.structs.replace(_luggage(record, found, []), epoch="", is_renewed=True), []
        return _luggage(record, found, frames), left

    # Moving out, and what else comes from other nodes

    def handle(self, number: int, kind: bytes, a: bytes, b: bytes) -> None:
        """Takes one entry of this node's stream."""
        if kind == b"e":
            self._deliver(number, read_effect(a))
        elif kind == b"m":
            fence, node, code = b.split()
            self._hand_over(a.decode(), int(fence), node.decode(), CloseCode(int(code)))
        elif kind == b"h":
            fence, _, packed = b.partition(b" ")
            arrival = self._arrivals.get(a.decode())
            if arrival is not None and arrival.fence in (0, int(fence)) and not arrival.luggage.done():
                arrival.luggage.set_result((int(fence), packed))
        elif kind == b"c":
            self._spawn(self._answer(a, b))
        elif (waiting := self._questions.get(a.decode())) is not None and not waiting.done():
            waiting.set_result(b)

    def _deliver(self, number: int, effect: Effect) -> None:
        if isinstance(effect, Revoked):
            self.deliver(effect)
            return
        mine = []
        for sid in self._named(effect):
            tenure = self._journal.tenures.get(sid)
            if tenure is not None:
                if number > tenure.since:
                    mine.append(sid)
                    self._journal.changed(sid)
            elif (arrival := self._arrivals.get(sid)) is not None:
                arrival.waiting.append((number, effect))
        if mine:
            self.deliver(narrowed(effect, mine))

    def _named(self, effect: Addressed | Tell) -> Iterable[str]:
        """The sessions that an effect may be for, so far as they are here or on their way."""
        if not isinstance(effect, Tell):
            return effect.to
        here = (sid for sid, tenure in self._journal.tenures.items() if tenure.client.grants.user == effect.user)
        return (*here, *self._arrivals)

    def _hand_over(self, sid: str, fence: int, node: str, code: CloseCode) -> None:
        arrival = self._arrivals.get(sid)
        if arrival is not None and 0 < arrival.fence < fence:
            del self._arrivals[sid]  # Too late: others have begun anew.
        tenure = self._journal.tenures.get(sid)
        if tenure is None or tenure.fence >= fence:
            self._spawn(self._tell(node, "h", sid, b"%d " % fence))
            return
        self._journal.dismiss(sid)
        tenure.client.keeper = None
        self._spawn(self._pack(tenure.client, fence, node, code))

    async def _pack(self, client: Client, fence: int, node: str, code: CloseCode) -> None:
        assert self.keeper is not None  # It brought the client.
        luggage = await self.keeper.hand_over(client, code)
        await self._tell(node, "h", client.sid, b"%d %b" % (fence, write(luggage)))

    async def _answer(self, number: bytes, question: bytes) -> None:
        assert self.keeper is not None  # Nobody is told of a node before it is whole.
        answer = await self.keeper.answer(question)
        await self._tell(number.partition(b" ")[0].decode(), "a", number.decode(), answer)

    async def _tell(self, node: str, kind: str, a: str, b: bytes) -> None:
        try:
            await self._store.run(TELL, node, kind, a, b)
        except EngineUnavailableError as error:
            _log.warning("another node was not told", kind=kind, reason=str(error))

    async def renew(self) -> None:
        """What lives here lives on in Redis, too, though nothing changed."""
        for sid, tenure in tuple(self._journal.tenures.items()):
            self._journal.changed(sid)
            if tenure.client.session.rooms:
                await self._store.run(TOUCH, *map(room_key, tenure.client.session.rooms))

    # When nothing is left

    async def begin_anew(self, old_node: str) -> None:
        """Redis has forgotten this node, which goes on under another name: every log begins anew."""
        assert self.keeper is not None
        for arrival in self._arrivals.values():
            if not arrival.luggage.done():
                arrival.luggage.set_result((0, b""))
        self._arrivals.clear()
        for tenure in self._journal.forget_all():
            self.keeper.begin_anew(tenure.client)
            self._homeless.append(tenure.client)
        while self._homeless:
            some = [Tenure(client, 0, 0) for client in self._homeless[:_HOMELESS]]
            for tenure in await self._journal.open(some, old_node):
                tenure.client.keeper = None
                self.keeper.drop(tenure.client)
            del self._homeless[:_HOMELESS]

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Finishes what others wait for, if that takes no time."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_HANDOVER)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _luggage(record: Luggage, found: dict[bytes, bytes], frames: list[bytes]) -> Luggage:
    """What was kept of a session: its log, and its memberships where the rooms agree; others it may come back to."""
    places = {place.room: place for place in map(read_place, record.places)}
    for place in places.values():
        place.present = False
    for key, value in found.items():
        if key.startswith(b"r:"):
            told = read_place(value)
            place = places.setdefault(told.room, told)
            place.member, place.order, place.meta, place.turn_user = told.member, told.order, told.meta, told.turn_user
            place.present = True
    return msgspec.structs.replace(
        record,
        seq=int(found[b"seq"]),
        places=tuple(map(write_place, places.values())),
        log=tuple(map(read_frame, frames)),
        is_certain=False,
    )
