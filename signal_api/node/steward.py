"""What those may do who moderate a room: members by frames, back ends by the admin API."""

import msgspec

from signal_api.clients import Client
from signal_api.node.commits import Commits
from signal_api.node.hub import Hub
from signal_api.passwords import Passwords
from signal_api.protocol.authorization import Ability
from signal_api.protocol.moderation import Alteration, Verdict, Who, alter, close, describe, establish, kick, lift, may
from signal_api.protocol.refusals import ErrorCode, Refusal
from signal_api.protocol.rooms import Change, Room, member_of

_NO_ROOM = Refusal(ErrorCode.ROOM_NOT_FOUND, "there is no such room")
_NOT_IN = Refusal(ErrorCode.ROOM_NOT_FOUND, "this session is not in that room")


class Steward:
    """Changes rooms at the wish of those who may. A Client that is given is the member who wants it; without one it
    is a back end, which has shown its right already."""

    def __init__(self, hub: Hub, commits: Commits, passwords: Passwords) -> None:
        self._hub = hub
        self._commits = commits
        self._passwords = passwords

    async def kick(self, room: str, who: Who, seconds: float | None, by: Client | str) -> Change | Refusal:
        """Sends members out of a room and keeps their users out, for `seconds` or as long as is configured."""
        now = self._hub.clock.now().wall
        until = now + (self._hub.policy.times.kick if seconds is None else seconds)

        def step(stored: Room | None) -> Change | Refusal:
            if isinstance(by, str):
                return kick(stored or Room(room, {}), who, Verdict(now, until, by, ("*",)))
            refusal = _may_not(stored, by)
            member = member_of(stored, by.sid)
            if refusal is not None or stored is None or member is None:
                return refusal or _NOT_IN
            if who.member == member.id or (who.user is not None and who.user == member.user):
                return Refusal(ErrorCode.BAD_REQUEST, "to go yourself, send leave")
            grants = by.grants_in(room)
            within = grants.rooms if grants.allow(Ability.MODERATE, room) else _alone(room)
            return kick(stored, who, Verdict(now, until, member.user or member.id, within))

        change = await self._commits.change(room, step)
        if isinstance(change, Change):
            self._hub.instruments.kicks["api" if isinstance(by, str) else "member",] += len(change.gone)
        return change

    async def lift(self, room: str, user: str, by: Client | None = None) -> Change | Refusal:
        """Takes a ban back."""
        now = self._hub.clock.now().wall
        return await self._commits.change(room, lambda stored: _may_not(stored, by) or lift(stored, user, now))

    async def describe(self, room: str, meta: msgspec.Raw, by: Client | None = None) -> Change | Refusal:
        """Sets what is attached to a room."""

        def step(stored: Room | None) -> Change | Refusal:
            refusal = _may_not(stored, by)
            if refusal is not None or stored is None or not stored.is_open:
                return refusal or _NO_ROOM
            member = member_of(stored, by.sid) if by is not None else None
            return describe(stored, meta, member.id if member is not None else None)

        return await self._commits.change(room, step)

    async def establish(self, room: str, alteration: Alteration) -> Change | Refusal:
        """Opens a room before anybody is in it; the password is given as it is typed."""
        sealed = await self._sealed(alteration)
        if isinstance(sealed, Refusal):
            return sealed
        return await self._commits.change(room, lambda stored: establish(stored, room, sealed))

    async def alter(self, room: str, alteration: Alteration) -> Change | Refusal:
        """Changes what holds in a room; the password is given as it is typed."""
        sealed = await self._sealed(alteration)
        if isinstance(sealed, Refusal):
            return sealed
        return await self._commits.change(room, lambda stored: alter(stored, sealed))

    async def _sealed(self, alteration: Alteration) -> Alteration | Refusal:
        if not isinstance(alteration.password, str):
            return alteration
        hashed = await self._passwords.hash(alteration.password)
        return hashed if isinstance(hashed, Refusal) else msgspec.structs.replace(alteration, password=hashed)

    async def close(self, room: str) -> Change | Refusal:
        """Ends a room and every membership of it."""
        return await self._commits.change(
            room, lambda stored: close(stored) if stored is not None and stored.is_open else _NO_ROOM
        )


def _alone(room: str) -> tuple[str, ...]:
    """The patterns of rooms that stand for this one; none where its name would stand for others."""
    return () if room.endswith("*") else (room,)


def _may_not(room: Room | None, by: Client | None) -> Refusal | None:
    """Why a member may not moderate; a back end may."""
    if by is None:
        return None
    if room is None or member_of(room, by.sid) is None:
        return _NOT_IN
    if may(room, by.grants_in(room.name), Ability.MODERATE):
        return None
    wrong = "neither your token nor your role in this room lets you moderate it"
    return Refusal(ErrorCode.FORBIDDEN, wrong, details={"needs": Ability.MODERATE})
