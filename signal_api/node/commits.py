"""How a room changes: load, compute, commit; and again when another change came first."""

import asyncio
from collections.abc import Callable
from weakref import WeakValueDictionary

from signal_api.clients import Client
from signal_api.engine.contract import Engine
from signal_api.node.hub import Hub
from signal_api.protocol.effects import Effect, LeaveReason
from signal_api.protocol.refusals import EngineUnavailableError, ErrorCode, Refusal
from signal_api.protocol.rooms import Change, Room

#: attempts to change a room while others change it too
_ATTEMPTS = 32


class Commits:
    """Changes rooms by the pure functions of signal_api.protocol.rooms and signal_api.protocol.moderation."""

    def __init__(self, hub: Hub, engine: Engine) -> None:
        self._hub = hub
        self._engine = engine
        #: one change of a room at a time, so that this node's do not outrun each other: the rest is for other nodes'
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def change(
        self,
        room: str,
        step: Callable[[Room | None], Change | Refusal],
        before: Callable[[Change], tuple[Effect, ...]] = lambda _: (),
    ) -> Change | Refusal:
        """Commits what `step` makes of a room. `before` makes effects that go first."""
        if self._engine.at_hand is not None:  # Nothing is waited for, so that nobody comes in between.
            return await self._change(room, step, before)
        turn = self._turns.get(room) or self._turns.setdefault(room, asyncio.Lock())
        async with turn:
            return await self._change(room, step, before)

    def part_with(self, client: Client) -> Refusal | None:
        """For who has just come into a room: a session that ended meanwhile leaves it as it left the others."""
        if not self._hub.roster.has_ended(client):
            return None
        self._hub.end(client)
        return Refusal(ErrorCode.SESSION_EXPIRED, "the session ended while it came into the room")

    async def _change(
        self,
        room: str,
        step: Callable[[Room | None], Change | Refusal],
        before: Callable[[Change], tuple[Effect, ...]],
    ) -> Change | Refusal:
        for _ in range(_ATTEMPTS):
            stored = await self._engine.load(room)
            change = step(stored.room)
            if isinstance(change, Refusal):
                return change
            told = self._hub.chronicle.of_room(room, stored.room, change)
            effects = (*before(change), *change.effects, *told)
            if await self._engine.commit(room, stored.version, change.room, effects):
                self._see_off(room, change)
                return change
        raise EngineUnavailableError(f"the room changed {_ATTEMPTS} times while it was to be changed")

    def _see_off(self, room: str, change: Change) -> None:
        """The one way out of every room: whoever is gone for good may not relay for it any more. What is relayed for a
        room that was closed ends, whoever it was that had lost its way just then."""
        if not change.reason.is_final:
            return
        rights, roster = self._hub.rights, self._hub.roster
        for member in change.gone:
            if not rights.has_withdrawn(member.turn_user):
                is_ours = roster.get(member.sid) is not None
                rights.withdraw(member.turn_user, change.reason, is_ours, parting=change.reason.is_own)
        if change.gone and change.room is None and change.reason is LeaveReason.SHUTDOWN:
            self._hub.rights.end_room(room, change.reason)
