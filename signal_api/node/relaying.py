"""Who may relay in a room just now: asked by every door that gives a credential for it, but for the join itself."""

from signal_api.clients import Client
from signal_api.engine.contract import Engine
from signal_api.node.hub import Hub
from signal_api.protocol.authorization import Ability
from signal_api.protocol.moderation import may
from signal_api.protocol.refusals import EngineUnavailableError
from signal_api.protocol.rooms import Room
from signal_api.protocol.sessions import Membership


class Relaying:
    """Knows the memberships of this node, and by the engine those of others."""

    def __init__(self, hub: Hub, engine: Engine) -> None:
        self._hub = hub
        self._engine = engine

    async def allows(self, client: Client, membership: Membership) -> bool:
        """By the token that counts there, and by what its role may do there as the room is now. While the store does
        not answer it is as the member last knew the room."""
        grants = client.grants_in(membership.room)
        if not grants.allow(Ability.ICE, membership.room):
            return False
        try:
            stored = (await self._engine.load(membership.room)).room
        except EngineUnavailableError:
            stored = None
        if stored is None or not stored.is_open:
            stored = Room(membership.room, {}, terms=membership.terms)
        return may(stored, grants, Ability.ICE)

    async def client_of(self, user: str, room: str, member: str) -> Client | None:
        """The client, perhaps as it was last kept by another node, that is this member and this user's; None without.
        Raises EngineUnavailableError."""
        for client in self._hub.roster.of(user):
            if (membership := client.session.rooms.get(room)) is not None and membership.member == member:
                return client
        custody = self._hub.custody
        stored = (await self._engine.load(room)).room if custody is not None else None
        found = stored.members.get(member) if stored is not None else None
        if custody is None or found is None or found.user != user:
            return None
        return await custody.look_at(found.sid)
