"""Going into rooms and out of them: the pure room logic, committed by an engine."""

import contextlib
from typing import Any

import msgspec

from fairlead.turn_user import member_id
from signal_api.clients import Client
from signal_api.engine.contract import Engine
from signal_api.node.admission import Admission, Entry, bytes_of, candidate_of, not_granted
from signal_api.node.commits import Commits
from signal_api.node.frames import Join, Joined, Self
from signal_api.node.hub import Hub
from signal_api.passwords import Passwords
from signal_api.protocol.authorization import Ability, Grants
from signal_api.protocol.effects import ClosedReason, Deliver, Effect, LeaveReason
from signal_api.protocol.messages import ServerFrame, server_frame, to_json
from signal_api.protocol.moderation import IN_ROOMS, change_member, may
from signal_api.protocol.refusals import EngineUnavailableError, ErrorCode, Refusal
from signal_api.protocol.rooms import MAX_META, Change, Member, Room, member_of, view
from signal_api.protocol.rooms import join as joined_by
from signal_api.protocol.rooms import leave as left_by
from signal_api.protocol.sessions import Membership, name
from signal_api.relay.ice_servers import room_hash, webrtc

#: attempts to come in while somebody else opens the room, or changes its password
_ATTEMPTS = 3
#: seconds until what was put off while rooms could not be changed is tried again: a look at tokens that ended or were
#: revoked, and the way back into rooms
_REVIEW_AGAIN = _RESTORE_AGAIN = 1.0


class Lobby:
    """Brings the clients of one node into rooms and out of them."""

    def __init__(self, hub: Hub, engine: Engine, commits: Commits, passwords: Passwords) -> None:
        self._hub = hub
        self._engine = engine
        self._commits = commits
        self._admission = Admission(hub, engine, passwords)
        #: those whose way back is tried again
        self._restoring: set[Client] = set()

    async def join(self, client: Client, room: str, wish: Join, re: str | None) -> Refusal | None:
        """Makes a client a member; what it is answered with `re` is the snapshot of the room."""
        turn_user = member_id(room_hash(room), client.sid, name(self._hub.entropy, 8))
        membership = Membership(room, f"m_{name(self._hub.entropy, 8)}", None, bytes_of(wish.meta), turn_user)
        for _ in range(_ATTEMPTS):
            entry = await self._admission.judge(client, membership, wish)
            refusal = entry if isinstance(entry, Refusal) else await self._enter(client, room, entry, re)
            if isinstance(entry, Refusal) or refusal is None or refusal.code is not ErrorCode.WRONG_PASSWORD:
                break
        self._hub.instruments.joins["refused" if refusal else "joined",] += 1
        return refusal

    async def leave(self, client: Client, room: str) -> Refusal | None:
        """Ends a membership at the client's wish."""
        membership = client.session.rooms.get(room)
        if membership is None:
            return Refusal(ErrorCode.ROOM_NOT_FOUND, "this session is not in that room")
        change = await self._commits.change(room, lambda stored: left_by(stored, client.sid, LeaveReason.LEAVE))
        client.leave(room)
        if isinstance(change, Refusal):  # It has left before, and the answer was lost on its way.
            self._hub.rights.withdraw(membership.turn_user, LeaveReason.LEAVE, parting=True)
        return None

    async def renew(self, client: Client, room: str, token: str) -> Refusal | None:
        """A fresh token for the one room that a membership came into by a token of its own."""
        membership = client.session.rooms.get(room)
        if membership is None or membership.grants is None:
            return Refusal(ErrorCode.ROOM_NOT_FOUND, "this session is not in that room by a token of its own")
        grants = self._admission.own_grants(client, token)
        refusal = grants if isinstance(grants, Refusal) else not_granted(grants, room)
        if isinstance(grants, Grants) and grants.user != membership.grants.user:  # Who it is, it stays.
            refusal = Refusal(ErrorCode.UNAUTHORIZED, "the token is another user's")
        if isinstance(grants, Grants) and refusal is None:
            membership.grants = grants
            await self.review(client)
        return refusal

    async def review(self, client: Client) -> None:
        """Looks again at what tokens grant: rooms that they grant no longer are left, the others see what changed. For
        whoever holds the client's turn. While the store does not answer it is tried again."""
        try:
            for membership in tuple(client.session.rooms.values()):
                grants = client.grants_in(membership.room)
                if not self._still_grant(grants, membership.room):
                    await self._send_out(client, membership)
                elif membership.present:
                    await self._update(client, membership.room, grants)
        except EngineUnavailableError:
            self._review_in(client, _REVIEW_AGAIN)
            raise
        self._watch(client)

    def _still_grant(self, grants: Grants, room: str) -> bool:
        now = self._hub.clock.now().wall
        is_over = grants.expires is not None and grants.expires <= now
        return not is_over and grants.allow(Ability.JOIN, room) and not self._hub.revocations.cover(grants, now)

    async def _update(self, client: Client, name: str, grants: Grants) -> None:
        member = member_of((await self._engine.load(name)).room, client.sid)
        if member is not None and (member.role, member.expires) != (grants.role, grants.expires):
            await self._commits.change(name, lambda stored: change_member(stored, client.sid, grants=grants))

    async def _send_out(self, client: Client, membership: Membership) -> None:
        await self._commits.change(membership.room, lambda stored: left_by(stored, client.sid, LeaveReason.LEAVE))
        self._close(client, membership, ClosedReason.NOT_GRANTED)

    def _close(self, client: Client, membership: Membership, why: str) -> None:
        """The client hears that a room is closed to it, and may not relay for it."""
        client.leave(membership.room)
        self._hub.rights.withdraw(membership.turn_user, why)
        client.deliver(server_frame("room.closed", to_json({"reason": why}), room=membership.room))

    def _watch(self, client: Client) -> None:
        """Waits for the end of the first token for a single room."""
        ends = [own.expires for own in client.own_grants() if own.expires is not None]
        self._review_in(client, max(0.0, min(ends) - self._hub.clock.now().wall) if ends else None)

    def _review_in(self, client: Client, seconds: float | None) -> None:
        """The next look at the tokens of a session of this node; None is never."""
        if client.lapse is not None:
            client.lapse.cancel()
            client.lapse = None
        if seconds is not None and self._hub.roster.get(client.sid) is client:
            client.lapse = self._hub.timers.after(seconds, lambda: self._hub.spawn(self.review_in_turn(client)))

    async def review_in_turn(self, client: Client) -> None:
        """As review, which comes back to it by itself where the store does not answer."""
        async with client.turn:
            with contextlib.suppress(EngineUnavailableError):
                await self.review(client)

    async def farewell(self, client: Client, reason: LeaveReason) -> None:
        """Tells the rooms of a client that it is gone, for as long as it is. It remembers them, in case it comes back.
        For whoever holds its turn."""
        is_over = self._hub.roster.has_ended(client)
        for membership in tuple(client.session.rooms.values()):
            if not client.is_away:
                break  # It came back meanwhile: by a connection, or to another node.
            if membership.present or is_over:  # At the end also those where an answer may have been lost.
                membership.present = False
                try:
                    await self._part_for_now(client, membership, reason)
                except EngineUnavailableError:
                    membership.present = True
                    raise
        client.changed()

    async def _part_for_now(self, client: Client, membership: Membership, reason: LeaveReason) -> None:
        """What holds in the room at this moment is what it would open again with."""
        last: Room | None = None

        def step(stored: Room | None) -> Change | Refusal:
            nonlocal last
            last = stored
            return left_by(stored, client.sid, reason)

        change = await self._commits.change(membership.room, step)
        if last is not None and isinstance(change, Change):
            membership.terms, membership.room_meta = last.terms, last.meta

    async def part(self, sid: str, room: str) -> None:
        """Takes a session out of a room that has ended, and of whose coming in nobody had heard."""
        await self._commits.change(room, lambda stored: left_by(stored, sid, LeaveReason.LEAVE))

    async def restore(self, client: Client) -> None:
        """After a resume: rooms that a token which it brought does not grant are left, those that were told of its end
        take it in again, as who it was; a client that begins anew is shown the others as they are now. For whoever
        holds the client's turn. While the store does not answer it is tried again."""
        regranted, client.is_regranted = client.is_regranted, False
        anew, client.begins_anew = client.begins_anew, False
        if not client.session.rooms:
            return
        try:
            if regranted:
                await self.review(client)
            for membership in tuple(client.session.rooms.values()):
                if not membership.present:
                    await self._return(client, membership)
                elif anew:
                    await self._show(client, membership)
        except EngineUnavailableError:
            client.is_regranted |= regranted
            client.begins_anew |= anew
            self._restore_later(client)
            raise
        self._watch(client)

    def _restore_later(self, client: Client) -> None:
        """Once, however often the client reconnects meanwhile."""
        if client not in self._restoring:
            self._restoring.add(client)
            self._hub.timers.after(_RESTORE_AGAIN, lambda: self._hub.spawn(self._restore_in_turn(client)))

    async def _restore_in_turn(self, client: Client) -> None:
        """Whoever is away, or elsewhere, is brought back when it comes."""
        async with client.turn:
            self._restoring.discard(client)
            if client.connection is not None:
                with contextlib.suppress(EngineUnavailableError):
                    await self.restore(client)
        client.changed()

    async def _return(self, client: Client, membership: Membership) -> None:
        grants = client.grants_in(membership.room)
        entry = Entry(candidate_of(client, grants, membership), grants, membership.grants is not None)
        refusal = not_granted(grants, membership.room)
        refusal = refusal or await self._enter(client, membership.room, entry, None)
        if refusal is not None and not self._hub.roster.has_ended(client):
            was_closed = membership.terms.kept and refusal.code is ErrorCode.ROOM_NOT_FOUND
            self._close(client, membership, ClosedReason.CLOSED if was_closed else refusal.code)

    async def _show(self, client: Client, membership: Membership) -> None:
        room = (await self._engine.load(membership.room)).room
        member = room.members.get(membership.member) if room is not None else None
        if room is not None and member is not None:
            await self._engine.publish((self._snapshot(client, room, member, client.grants_in(room.name), None),))

    async def _enter(self, client: Client, room: str, entry: Entry, re: str | None) -> Refusal | None:
        now_ms = round(self._hub.clock.now().wall * 1000)
        capacity = self._hub.policy.limits.members_per_room

        def step(stored: Room | None) -> Change | Refusal:
            known, member = client.session.rooms.get(room), member_of(stored, client.sid)
            if member is not None and (known is None or not known.present):
                return Change(stored, (), member)  # It came in before, and the answer was lost on its way.
            is_open = stored is not None and stored.is_open
            if not is_open and entry.candidate.terms.kept:
                return Refusal(ErrorCode.ROOM_NOT_FOUND, "the room was closed by the back end that had opened it")
            if not is_open and not entry.grants.allow(Ability.CREATE, room):
                return Refusal(
                    ErrorCode.ROOM_NOT_FOUND, "nobody is in that room, and the token does not let you open it"
                )
            return joined_by(stored, room, entry.candidate, now_ms, capacity)

        def show(change: Change) -> tuple[Effect, ...]:
            assert change.room is not None  # Somebody has just come in.
            assert change.member is not None
            return (self._snapshot(client, change.room, change.member, entry.grants, re),)

        change = await self._commits.change(room, step, show)
        if isinstance(change, Refusal):
            return change
        member = change.member
        assert member is not None  # It has just come in.
        assert change.room is not None
        membership = Membership(room, member.id, member.order, member.meta, member.turn_user)
        membership.terms, membership.room_meta = change.room.terms, change.room.meta
        membership.grants = entry.grants if entry.is_own else None
        client.session.rooms[room] = membership
        refusal = self._commits.part_with(client)
        if entry.is_own and refusal is None:
            self._watch(client)
        return refusal

    def _snapshot(self, client: Client, room: Room, member: Member, grants: Grants, re: str | None) -> Deliver:
        return Deliver((client.sid,), self._joined(client, room, member, grants, re))

    def _joined(self, client: Client, room: Room, member: Member, grants: Grants, re: str | None) -> ServerFrame:
        hub = self._hub
        most = hub.policy.limits.members_per_room
        can: list[str] = [ability for ability in IN_ROOMS if may(room, grants, ability)]
        client.renewals.pop(room.name, None)
        ice: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET
        if Ability.ICE in can:
            hub.fences.enclose(room.name)
            ice = webrtc(hub.desk.for_member(client, room.name, member.turn_user, "join"))
        body = Joined(
            room=room.name,
            self=Self(member.id, member.order),
            members=[view(other) for other in room.members.values() if other.id != member.id],
            meta=room.meta,
            role=grants.role,
            can=can,
            rseq=room.rseq,
            limits={"members": min(most, room.terms.capacity or most), "meta_bytes": MAX_META},
            ice=ice,
        )
        return server_frame("joined", to_json(body), re=re, room=room.name)
