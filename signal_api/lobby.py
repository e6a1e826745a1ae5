"""Going into rooms and out of them: the pure room logic, committed by an engine."""

from collections.abc import Callable

import msgspec

from signal_api.authorization import Ability
from signal_api.clients import Client
from signal_api.effects import Deliver, Effect, LeaveReason
from signal_api.engine.contract import Engine
from signal_api.frames import Joined, Self
from signal_api.hub import Hub
from signal_api.ice_servers import grant, member_id, webrtc
from signal_api.messages import ServerFrame, server_frame, to_json
from signal_api.refusals import EngineUnavailableError, ErrorCode, Refusal
from signal_api.rooms import MAX_META, Candidate, Change, Member, Room, view
from signal_api.rooms import join as joined_by
from signal_api.rooms import leave as left_by
from signal_api.sessions import Membership, name

#: attempts to change a room while others change it too
_ATTEMPTS = 32


class Lobby:
    """Changes rooms for the clients of one node."""

    def __init__(self, hub: Hub, engine: Engine) -> None:
        self._hub = hub
        self._engine = engine

    async def join(self, client: Client, room: str, meta: msgspec.Raw, re: str | None) -> Refusal | None:
        """Makes a client a member; what it is answered with `re` is the snapshot of the room."""
        refusal = self._may_join(client, room, meta)
        if refusal is None:
            member = f"m_{name(self._hub.entropy, 5)}"
            turn_user = member_id(room, client.sid, name(self._hub.entropy, 5))
            candidate = _candidate(client, member, bytes_of(meta), turn_user)
            refusal = await self._enter(client, room, candidate, re)
        self._hub.instruments.joins["refused" if refusal else "joined",] += 1
        return refusal

    async def leave(self, client: Client, room: str) -> Refusal | None:
        """Ends a membership at the client's wish."""
        if room not in client.session.rooms:
            return Refusal(ErrorCode.ROOM_NOT_FOUND, "this session is not in that room")
        await self._change(room, lambda stored: left_by(stored, client.sid, LeaveReason.LEAVE))
        del client.session.rooms[room]
        return None

    async def farewell(self, client: Client, reason: LeaveReason) -> None:
        """Tells the rooms of a client that it is gone. It remembers them, in case it comes back; once its session is
        forgotten it cannot, and may not relay for them any more."""
        memberships = tuple(client.session.rooms.values())
        if self._hub.roster.get(client.sid) is not client:
            for membership in memberships:
                self._hub.rights.withdraw(membership.turn_user, "session ended")
        for membership in memberships:
            if membership.present:
                membership.present = False
                await self._change(membership.room, lambda stored: left_by(stored, client.sid, reason))

    async def restore(self, client: Client) -> None:
        """After a resume: rooms that were told of its end take it in again, as who it was; a client that begins anew
        is shown the others as they are now."""
        anew = client.session.is_fresh
        for membership in tuple(client.session.rooms.values()):
            if not membership.present:
                await self._return(client, membership)
            elif anew:
                await self._show(client, membership)

    async def _return(self, client: Client, membership: Membership) -> None:
        candidate = _candidate(client, membership.member, membership.meta, membership.turn_user, membership.order)
        refusal = self._not_granted(client, membership.room)
        refusal = refusal or await self._enter(client, membership.room, candidate, None)
        if refusal is not None:
            del client.session.rooms[membership.room]
            self._hub.rights.withdraw(membership.turn_user, refusal.code)
            reason = to_json({"reason": refusal.code.value})
            client.deliver(server_frame("room.closed", reason, room=membership.room))

    async def _show(self, client: Client, membership: Membership) -> None:
        room = (await self._engine.load(membership.room)).room
        member = room.members.get(membership.member) if room is not None else None
        if room is not None and member is not None:
            await self._engine.publish((self._snapshot(client, room, member, None),))

    async def _enter(self, client: Client, room: str, candidate: Candidate, re: str | None) -> Refusal | None:
        now_ms = round(self._hub.clock.now().wall * 1000)
        capacity = self._hub.policy.limits.members_per_room

        def step(stored: Room | None) -> Change | Refusal:
            if (stored is None or not stored.is_open) and not client.grants.allow(Ability.CREATE, room):
                return Refusal(
                    ErrorCode.ROOM_NOT_FOUND, "nobody is in that room, and the token does not let you open it"
                )
            return joined_by(stored, room, candidate, now_ms, capacity)

        def show(change: Change) -> tuple[Effect, ...]:
            assert change.room is not None  # Somebody has just come in.
            assert change.member is not None
            return (self._snapshot(client, change.room, change.member, re),)

        change = await self._change(room, step, show)
        if isinstance(change, Refusal):
            return change
        member = change.member
        assert member is not None  # It has just come in.
        client.session.rooms[room] = Membership(room, member.id, member.order, member.meta, member.turn_user)
        return None

    async def _change(
        self,
        room: str,
        step: Callable[[Room | None], Change | Refusal],
        before: Callable[[Change], tuple[Effect, ...]] = lambda _: (),
    ) -> Change | Refusal:
        """Load, compute, commit; again when another change came first. `before` makes effects that go first."""
        for _ in range(_ATTEMPTS):
            stored = await self._engine.load(room)
            change = step(stored.room)
            if isinstance(change, Refusal):
                return change
            if await self._engine.commit(room, stored.version, change.room, (*before(change), *change.effects)):
                self._see_off(change)
                return change
        raise EngineUnavailableError(f"the room changed {_ATTEMPTS} times while it was to be changed")

    def _see_off(self, change: Change) -> None:
        """The one way out of every room: whoever is gone for good may not relay for it any more."""
        if change.reason.is_final:
            for member in change.gone:
                self._hub.rights.withdraw(member.turn_user, change.reason)

    def _may_join(self, client: Client, room: str, meta: msgspec.Raw) -> Refusal | None:
        limit = self._hub.policy.limits.rooms_per_session
        if room not in client.session.rooms and len(client.session.rooms) >= limit:
            return Refusal(ErrorCode.TOO_MANY_ROOMS, f"a session is in at most {limit} rooms")
        if len(bytes(meta)) > MAX_META:
            return Refusal(ErrorCode.BAD_REQUEST, f"meta holds at most {MAX_META} bytes")
        return self._not_granted(client, room)

    def _not_granted(self, client: Client, room: str) -> Refusal | None:
        if client.grants.allow(Ability.JOIN, room):
            return None
        return Refusal(ErrorCode.FORBIDDEN, "the token does not let you into that room")

    def _snapshot(self, client: Client, room: Room, member: Member, re: str | None) -> Deliver:
        return Deliver((client.sid,), self._joined(client, room, member, re))

    def _joined(self, client: Client, room: Room, member: Member, re: str | None) -> ServerFrame:
        hub = self._hub
        body = Joined(
            room=room.name,
            self=Self(member.id, member.order),
            members=[view(other) for other in room.members.values() if other.id != member.id],
            role=client.grants.role,
            rseq=room.rseq,
            limits={"members": hub.policy.limits.members_per_room, "meta_bytes": MAX_META},
        )
        if client.grants.allow(Ability.ICE, room.name):
            host = hub.policy.public_host or client.visitor.host
            now = hub.clock.now()
            given = grant(hub.policy.issuer, host, member.turn_user, now.wall, hub.entropy)
            hub.instruments.ice_issued["join",] += 1
            body = msgspec.structs.replace(body, ice=webrtc(given))
        return server_frame("joined", to_json(body), re=re, room=room.name)


def _candidate(client: Client, member: str, meta: msgspec.Raw, turn_user: str, order: int | None = None) -> Candidate:
    grants = client.grants
    return Candidate(member, client.sid, grants.user, meta, order, grants.role, grants.expires, turn_user=turn_user)


def bytes_of(raw: msgspec.Raw) -> msgspec.Raw:
    """The same JSON without the frame that it was a part of, which would stay in memory otherwise."""
    return msgspec.Raw(bytes(raw))
