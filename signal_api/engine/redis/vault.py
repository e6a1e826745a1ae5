"""The sessions of this node: opened, kept, handed over to others, and begun anew when Redis has forgotten them."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from fairlead.log import get_logger
from signal_api.clients import Client
from signal_api.engine.contract import Answer, Keeper
from signal_api.engine.redis.arrivals import Arrivals, Move
from signal_api.engine.redis.inbox import Inbox
from signal_api.engine.redis.journal import Journal, Tenure
from signal_api.engine.redis.parcels import (
    for_session,
    hashed,
    narrowed,
    pairs,
    read_effect,
    read_luggage,
    read_room,
    restored,
    write,
)
from signal_api.engine.redis.scripts import FIRST, LIST, LOAD, OWNER, PEEK, TELL, TOUCH
from signal_api.engine.redis.store import Store
from signal_api.luggage import Luggage
from signal_api.protocol.effects import Addressed, Effect, Own, Revoked, Tell
from signal_api.protocol.refusals import CloseCode, EngineUnavailableError

#: seconds that another node has to answer a question, and that this one has for its last words
_ANSWER, _LAST_WORDS = 2.0, 0.6
#: seconds until rooms are told again that could not be changed
_LATER = 1.0
#: questions to other nodes that wait for their answers
_QUESTIONS = 1024
#: forgotten sessions that are written at once
_HOMELESS = 128
#: sessions whose time is renewed at once, and seconds between them: Redis and this node have others to serve
_RENEWED, _BREATH = 64, 0.02
#: rooms that are looked through at once
_ROOMS = 100

_log = get_logger("signal_api.engine")


class Vault:
    """See signal_api.engine.contract.Vault."""

    def __init__(self, store: Store, inbox: Inbox, journal: Journal) -> None:
        self.keeper: Keeper | None = None
        self.deliver: Callable[[Effect], None] = lambda _: None
        self._store = store
        self._inbox = inbox
        self._journal = journal
        journal.forgotten = self._forgotten
        journal.lingering = self._take_out
        self._arrivals = Arrivals(store, journal, self._settle)
        self._questions: dict[str, asyncio.Future[bytes]] = {}
        self._asked = 0
        #: sessions that Redis has forgotten and not yet learned again
        self._homeless: dict[str, Tenure] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # For this node

    def attend(self, keeper: Keeper) -> None:
        self.keeper = keeper

    async def open(self, client: Client) -> None:
        client.keeper = self._journal.changed
        await self._journal.open([Tenure(client, 0, 0)])

    def end(self, sid: str) -> None:
        if sid in self._homeless:  # Redis, or a room, may have it all the same: it is kept once more, to end.
            self._homeless[sid].is_ended = True
        self._journal.end(sid)

    async def peek(self, sid: str) -> Luggage | None:
        found = pairs(await self._store.run(PEEK, sid))
        return restored(read_luggage(found[b"record"]), found, []) if b"record" in found else None

    async def claim(self, sid: str, code: CloseCode, owner: str = "") -> Client | None:
        """This node goes on with a session, from now on alone; None when nobody has it, or `owner` has not."""
        return await self._arrivals.claim(sid, code, owner)

    def mind(self, silent: set[str]) -> None:
        """Names the nodes that were not heard of lately: nothing is expected of them."""
        self._arrivals.silent = silent

    async def ask(self, sid: str, question: bytes) -> bytes | None:
        """What the node of a session answers; None when nobody has the session."""
        node = await self._store.run(OWNER, sid)
        if not node or node.decode() in (self._store.node, *self._arrivals.silent):
            return None
        return await self._ask(node.decode(), question)

    async def ask_first(self, name: str, question: bytes, unwilling: str = "") -> Answer | None:
        """See signal_api.engine.contract.Vault; a node that is gone was not the first."""
        first = (await self._store.run(FIRST, hashed(name), unwilling)).decode()
        while first in self._arrivals.silent:
            first = (await self._store.run(FIRST, hashed(name), first)).decode()
        return None if first == self._store.node else Answer(first, await self._ask(first, question))

    async def _ask(self, node: str, question: bytes) -> bytes:
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
            raise EngineUnavailableError("the node that knows does not answer") from None
        finally:
            del self._questions[number]

    def _settle(self, luggage: Luggage, move: Move, left: Sequence[Effect]) -> Client:
        """A session has come."""
        assert self.keeper is not None  # It asked for it.
        client = self.keeper.take_in(luggage)
        client.keeper = self._journal.changed
        self._journal.tenures[client.sid] = Tenure(client, move.fence, move.since)
        self._journal.changed(client.sid)
        for effect in left:
            mine = for_session(effect, client.sid, client.grants.user)
            if mine is not None:
                self.deliver(mine)
        return client

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
            self._arrivals.hand_over(a.decode(), int(fence), packed)
        elif kind == b"c":
            self._spawn(self._answer(a, b))
        elif (waiting := self._questions.get(a.decode())) is not None and not waiting.done():
            waiting.set_result(b)

    def _deliver(self, number: int, effect: Effect) -> None:
        if isinstance(effect, Revoked | Own):
            self.deliver(effect)
            return
        mine = []
        for sid in self._named(effect):
            tenure = self._journal.tenures.get(sid)
            if tenure is not None:
                if number > tenure.since:
                    mine.append(sid)
                    self._journal.changed(sid)
            else:
                self._arrivals.wait(sid, number, effect)
        if mine:
            self.deliver(narrowed(effect, mine))

    def _named(self, effect: Addressed | Tell) -> Iterable[str]:
        """The sessions that an effect may be for, so far as they are here or on their way."""
        if not isinstance(effect, Tell):
            return effect.to
        tenures = self._journal.tenures
        here = (sid for sid, tenure in tenures.items() if tenure.client.grants.user == effect.user)
        return (*here, *(sid for sid in self._arrivals if sid not in tenures))

    def _hand_over(self, sid: str, fence: int, node: str, code: CloseCode) -> None:
        self._arrivals.outdo(sid, fence)
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
        """What lives here lives on in Redis, too, though nothing changed. What Redis does not take is left for the next
        time: there are some before anything ends."""
        sids = list(self._journal.tenures)
        for first in range(0, len(sids), _RENEWED):
            rooms = set[str]()
            for sid in sids[first : first + _RENEWED]:
                tenure = self._journal.tenures.get(sid)
                if tenure is not None:
                    self._journal.changed(sid)
                    rooms.update(tenure.client.session.rooms)
            if rooms:
                with contextlib.suppress(EngineUnavailableError):
                    await self._store.run(TOUCH, *(hashed(room) + room for room in rooms))
            await asyncio.sleep(_BREATH)

    # When nothing is left

    async def begin_anew(self, old_node: str) -> None:
        """Redis has forgotten this node, which goes on under another name: every log begins anew."""
        assert self.keeper is not None
        self._arrivals.forget_all()
        for tenure in self._journal.forget_all():
            self.keeper.begin_anew(tenure.client)
            self._lose(tenure.client)
        await self.house(old_node)

    def _forgotten(self, client: Client) -> None:
        """Redis has lost a session, so that nothing was sent to it since: its log begins anew."""
        assert self.keeper is not None  # It brought the client.
        _log.warning("the store has lost a session, which begins anew")
        self.keeper.begin_anew(client)
        self._lose(client)
        self._store.alarm.set()

    def _lose(self, client: Client) -> None:
        self._homeless[client.sid] = Tenure(client, 0, 0)

    async def house(self, old_node: str) -> None:
        """Has forgotten sessions kept again that nobody has, or a node of that name."""
        while self._homeless:
            some = list(itertools.islice(self._homeless.values(), _HOMELESS))
            for tenure in await self._journal.open(some, old_node):
                assert self.keeper is not None  # It brought them.
                tenure.client.keeper = None
                self.keeper.drop(tenure.client)
            for tenure in some:
                self._homeless.pop(tenure.client.sid, None)

    def clear_out(self) -> None:
        """While no node lived, sessions ended that nobody took out of the rooms that were kept."""
        self._spawn(self._clear_out())

    async def _clear_out(self) -> None:
        name = b""
        try:
            while names := await self._store.run(LIST, name, _ROOMS):
                for name in names:
                    _, *data = await self._store.run(LOAD, hashed(name.decode()), 0)
                    for room in self._store.readable(read_room, data, f"room {name.decode()}"):
                        for member in room.members.values():
                            if not await self._store.run(OWNER, member.sid):
                                self._take_out(member.sid, (room.name,))
        except EngineUnavailableError as error:
            _log.warning("rooms were not looked through for members that are gone", reason=str(error))

    def _take_out(self, sid: str, rooms: tuple[str, ...]) -> None:
        self._spawn(self._until_out(sid, rooms))

    async def _until_out(self, sid: str, rooms: tuple[str, ...]) -> None:
        """A session came into rooms, the answer was lost, and it has ended: they are told, and then it is forgotten."""
        assert self.keeper is not None  # It brought the session.
        while True:
            try:
                await self.keeper.take_out(sid, rooms)
            except EngineUnavailableError:
                await asyncio.sleep(_LATER)
            else:
                self._journal.end_at_last(sid)
                return

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Finishes what others wait for, if that takes no time."""
        await self._arrivals.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_LAST_WORDS)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
