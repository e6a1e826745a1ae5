"""Ids that clients choose, claimed and looked up in rooms wherever those are kept."""

from fairlead.turn_user import member_id
from signal_api.clients import Client
from signal_api.engine.contract import Engine
from signal_api.node.admission import candidate_of, not_granted
from signal_api.node.commits import Commits
from signal_api.node.hub import Hub
from signal_api.protocol.authorization import Ability
from signal_api.protocol.claims import Claim, claim
from signal_api.protocol.effects import Deliver
from signal_api.protocol.messages import NULL, server_frame
from signal_api.protocol.refusals import EngineUnavailableError, ErrorCode, Refusal
from signal_api.protocol.rooms import Change, Room
from signal_api.protocol.sessions import Membership, name
from signal_api.relay.ice_servers import room_hash


class Registry:
    """Brings clients into rooms under ids of their own; out of them they go as all clients do."""

    def __init__(self, hub: Hub, engine: Engine) -> None:
        self._hub = hub
        self._engine = engine
        self._commits = Commits(hub, engine)

    async def claim(self, client: Client, room: str, wanted: Claim, capacity: int) -> Refusal | None:
        """Makes a client a member; it is answered by a `joined` that says no more than that."""
        refusal = not_granted(client.grants, room)
        if refusal is None:
            async with client.turn:
                refusal = await self._claim(client, room, wanted, capacity)
        self._hub.instruments.joins["refused" if refusal else "joined",] += 1
        return refusal

    async def ids(self, room: str) -> list[str] | Refusal:
        """The ids of those who are in a room."""
        try:
            stored = (await self._engine.load(room)).room
        except EngineUnavailableError as error:
            return _unavailable(error)
        return list(stored.members) if stored is not None else []

    async def _claim(self, client: Client, room: str, wanted: Claim, capacity: int) -> Refusal | None:
        now_ms = round(self._hub.clock.now().wall * 1000)
        turn_user = member_id(room_hash(room), client.sid, name(self._hub.entropy, 8))
        membership = Membership(room, wanted.id, None, NULL, turn_user)
        candidate = candidate_of(client, client.grants, membership)
        opened = Deliver((client.sid,), server_frame("joined", room=room))

        def step(stored: Room | None) -> Change | Refusal:
            if (stored is None or not stored.is_open) and not client.grants.allow(Ability.CREATE, room):
                return Refusal(ErrorCode.ROOM_NOT_FOUND, "nobody is there, and the token does not let you open it")
            return claim(stored, room, wanted, candidate, now_ms, capacity)

        try:
            change = await self._commits.change(room, step, lambda _: (opened,))
        except EngineUnavailableError as error:
            return _unavailable(error)
        if isinstance(change, Refusal):
            return change
        assert change.member is not None  # It has just come in.
        assert change.room is not None
        membership.order, membership.terms = change.member.order, change.room.terms
        client.session.rooms[room] = membership
        return self._commits.part_with(client)


def _unavailable(error: EngineUnavailableError) -> Refusal:
    return Refusal(ErrorCode.ENGINE_UNAVAILABLE, f"rooms cannot be changed just now: {error}", retry_after=1.0)
