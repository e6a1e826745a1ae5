"""POST /v1/sessions: a session is opened once under one Idempotency-Key, however often and at whichever nodes it is
asked for. The node that was asked first does it, and answers for it at the others."""

import msgspec

from signal_api.clients import Visitor
from signal_api.node.custody import Opening, Outcome
from signal_api.node.dispatch import Dispatch
from signal_api.node.hub import Hub
from signal_api.protocol.refusals import Closing, EngineUnavailableError, ErrorCode, Refusal, refusal_of
from signal_api.transports.poll import Mailbox
from signal_api.web.idempotency import SHORTEST, Repeats, read_key
from signal_api.web.problems import RefusedError


class _Welcoming(msgspec.Struct, frozen=True):
    data: msgspec.Raw


class Openings:
    """Opens sessions by the data of a hello; what is returned is the data of the welcome."""

    def __init__(self, hub: Hub, dispatch: Dispatch) -> None:
        self._hub = hub
        self._dispatch = dispatch
        self._repeats: Repeats[bytes] = Repeats(hub.clock)
        if hub.custody is not None:
            hub.custody.open_for = self._open_for

    async def open(self, hello: bytes, visitor: Visitor, header: str | None) -> bytes:
        """`header` is the Idempotency-Key. Raises RefusedError and EngineUnavailableError."""
        key = read_key(header, SHORTEST)
        if key is None:
            return await self._open(hello, visitor)
        opening, custody = Opening(key, hello, visitor), self._hub.custody
        outcome = await custody.done_elsewhere(opening) if custody is not None else None
        if outcome is None:
            return await self._once(opening)
        if outcome.refusal is not None:
            raise RefusedError(outcome.refusal)
        return outcome.body

    async def _once(self, opening: Opening) -> bytes:
        key, hello, visitor = opening.key, opening.hello, opening.visitor
        return await self._repeats.once((key,), hello, lambda: self._open(hello, visitor))

    async def _open_for(self, opening: Opening) -> Outcome:
        """As open, for another node that was asked again."""
        try:
            return Outcome(await self._once(opening))
        except RefusedError as error:
            return Outcome(refusal=error.refusal)
        except EngineUnavailableError as error:
            return Outcome(refusal=Refusal(ErrorCode.ENGINE_UNAVAILABLE, str(error), 1.0))

    async def _open(self, body: bytes, visitor: Visitor) -> bytes:
        hello = self._dispatch.read_hello(body)
        if isinstance(hello, Closing):
            raise RefusedError(refusal_of(hello))
        await self._hub.look_for_key(hello.token)
        mailbox = Mailbox(self._hub)
        client = await self._hub.let_in(hello, visitor, mailbox)
        if isinstance(client, Closing):
            raise RefusedError(refusal_of(client))
        mailbox.client = client
        welcome = msgspec.json.decode(mailbox.welcome().encode(None), type=_Welcoming).data
        await self._dispatch.begin(client, hello.rooms)
        return bytes(welcome)
