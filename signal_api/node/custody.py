"""Sessions that other nodes may go on with: how they come here and go, and errands for those that are elsewhere."""

import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

import msgspec

from fairlead.clock import Entropy
from signal_api.clients import Client, Visitor
from signal_api.engine.contract import Vault
from signal_api.luggage import Luggage, pack, unpack
from signal_api.node.roster import Roster
from signal_api.protocol.refusals import CloseCode, ErrorCode, Refusal
from signal_api.protocol.sessions import digest, new_epoch
from signal_api.timers import Clock


class Errand(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A request that reached another node than its session's."""

    verb: str
    sid: str
    key: str
    body: bytes


class Outcome(NamedTuple):
    """What became of an errand."""

    body: bytes = b""
    refusal: Refusal | None = None


class Opening(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A session that is to be opened once under this key, by the data of a hello."""

    key: str
    hello: bytes
    visitor: Visitor


class Repeat(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """A request of a back end that takes effect once under this key; of what it says, only the digest."""

    key: str
    digest: bytes


_question = msgspec.msgpack.Decoder(Errand | Opening | Repeat)
_outcome = msgspec.msgpack.Decoder(Outcome | None)


class Node(Protocol):
    """What stands around it: signal_api.node.hub.Hub."""

    clock: Clock
    entropy: Entropy
    roster: Roster

    def take_in(self, client: Client) -> None: ...

    def give_up(self, client: Client, code: CloseCode) -> None: ...


class Custody:
    """Satisfies signal_api.engine.contract.Keeper. `perform` does an errand for a client of this node, `open_for` opens
    a session for another one, `answered` says what a back end was answered here, `part` takes a session out of a
    room."""

    def __init__(self, node: Node, vault: Vault) -> None:
        self.open_for: Callable[[Opening], Awaitable[Outcome]] | None = None
        self.answered: Callable[[Repeat], Awaitable[Outcome | None]] | None = None
        self.perform: Callable[[Client, str, bytes], Awaitable[Outcome]] | None = None
        self.part: Callable[[str, str], Awaitable[None]] | None = None
        self._node = node
        self._vault = vault
        vault.attend(self)

    # What is asked here

    async def open(self, client: Client) -> None:
        """Has a new session kept."""
        await self._vault.open(client)

    def end(self, client: Client) -> None:
        self._vault.end(client.sid)

    async def find(self, sid: str, key: str) -> Client | None:
        """The client whose session this is, which goes on here from now on; None without it, or with a wrong key."""
        if await self._known(sid, key) is None:
            return None
        client = await self._vault.claim(sid, CloseCode.REPLACED)
        return client if self._node.roster.get(sid) is client else None

    async def view(self, sid: str, key: str) -> Client | None:
        """The client as it was last kept; nothing that is done to it has an effect."""
        return self._view(await self._known(sid, key))

    async def look_at(self, sid: str) -> Client | None:
        """As view, for whoever has been shown to be its user."""
        return self._view(await self._vault.peek(sid))

    def _view(self, luggage: Luggage | None) -> Client | None:
        return unpack(luggage, self._node.clock.now()) if luggage is not None else None

    async def send(self, errand: Errand) -> Outcome | None:
        """Has an errand done by the node of its session; None when no other node has it."""
        if await self._known(errand.sid, errand.key) is None:
            return None
        answer = await self._vault.ask(errand.sid, msgspec.msgpack.encode(errand))
        return _outcome.decode(answer) if answer is not None else None

    async def done_elsewhere(self, asked: Opening | Repeat) -> Outcome | None:
        """What another node answers that was asked for the same before; None when this one is the first. One that is
        about to go, or where it failed, leaves it to the first that has heard so."""
        question, unwilling = msgspec.msgpack.encode(asked), ""
        while (answer := await self._vault.ask_first(asked.key, question, unwilling)) is not None:
            outcome: Outcome | None = _outcome.decode(answer.body)
            if outcome is not None and (outcome.refusal is None or outcome.refusal.code is not ErrorCode.DRAINING):
                return outcome
            unwilling = answer.node
        return None

    async def _known(self, sid: str, key: str) -> Luggage | None:
        luggage = await self._vault.peek(sid)
        good = luggage is not None and hmac.compare_digest(luggage.key_digest, digest(key))
        return luggage if good else None

    # What the vault asks

    def take_in(self, luggage: Luggage) -> Client:
        if not luggage.epoch:
            luggage = msgspec.structs.replace(luggage, epoch=new_epoch(self._node.entropy))
        client = unpack(luggage, self._node.clock.now())
        self._node.take_in(client)
        return client

    async def hand_over(self, client: Client, code: CloseCode) -> Luggage:
        self._node.give_up(client, code)
        async with client.turn:
            client.send_news()
            return pack(client, self._node.clock.now())

    async def answer(self, question: bytes) -> bytes:
        return msgspec.msgpack.encode(await self._answer(_question.decode(question)))

    async def _answer(self, question: Errand | Opening | Repeat) -> Outcome | None:
        if isinstance(question, Opening):
            return await self.open_for(question) if self.open_for is not None else None
        if isinstance(question, Repeat):
            return await self.answered(question) if self.answered is not None else None
        client = self._node.roster.holder(question.sid, question.key)
        if client is None or self.perform is None:
            return None
        return await self.perform(client, question.verb, question.body)

    def begin_anew(self, client: Client) -> None:
        client.session.renew(new_epoch(self._node.entropy))
        for membership in client.session.rooms.values():
            membership.present = False
        if client.connection is not None:
            client.connection.close(CloseCode.REBALANCE)

    def drop(self, client: Client) -> None:
        self._node.give_up(client, CloseCode.REBALANCE)

    async def take_out(self, sid: str, rooms: Sequence[str]) -> None:
        assert self.part is not None  # Whoever brings clients here knows the rooms.
        for room in rooms:
            await self.part(sid, room)


def unavailable(why: Exception) -> Refusal:
    """What a request is answered that the store would be needed for."""
    return Refusal(ErrorCode.ENGINE_UNAVAILABLE, f"this cannot be done just now: {why}", retry_after=1.0)
