"""Who comes into a room, and as what: by a token, by a password, or by opening it."""

from typing import NamedTuple

import msgspec

from signal_api.clients import Client
from signal_api.engine.contract import Engine
from signal_api.node.frames import Create, Join
from signal_api.node.hub import Hub
from signal_api.passwords import Passwords
from signal_api.protocol.authorization import Ability, Grants
from signal_api.protocol.messages import NULL
from signal_api.protocol.refusals import ErrorCode, Refusal
from signal_api.protocol.rooms import MAX_META, Candidate, Terms
from signal_api.protocol.sessions import Membership

_WRONG_PASSWORD = Refusal(ErrorCode.WRONG_PASSWORD, "the room asks for its password, and this was not it")


class Entry(NamedTuple):
    """Who comes in, what counts for it, and whether that is of a token for this room alone."""

    candidate: Candidate
    grants: Grants
    is_own: bool


class Admission:
    """Judges what clients say when they join."""

    def __init__(self, hub: Hub, engine: Engine, passwords: Passwords) -> None:
        self._hub = hub
        self._engine = engine
        self._passwords = passwords

    async def judge(self, client: Client, membership: Membership, wish: Join) -> Entry | Refusal:
        """Everything that can be said before the room itself decides."""
        await self._hub.look_for_key(wish.token)
        grants = self._grants(client, membership.room, wish)
        if isinstance(grants, Refusal):
            return grants
        entry = Entry(candidate_of(client, grants, membership), grants, wish.token is not None)
        stored = (await self._engine.load(membership.room)).room
        if stored is None or not stored.is_open:
            return await self._opening(entry, wish.create or Create())
        return await self._knocking(client, entry, stored.terms.password, wish.password)

    def _grants(self, client: Client, room: str, wish: Join) -> Grants | Refusal:
        limit = self._hub.policy.limits.rooms_per_session
        if room not in client.session.rooms and len(client.session.rooms) >= limit:
            wrong = f"a session is in at most {limit} rooms"
            return Refusal(ErrorCode.TOO_MANY_ROOMS, wrong, details={"rooms": limit})
        room_meta = wish.create.meta if wish.create is not None else NULL
        refusal = meta_refusal(wish.meta) or meta_refusal(room_meta)
        if refusal is not None:
            return refusal
        grants = client.grants if wish.token is None else self.own_grants(client, wish.token)
        return grants if isinstance(grants, Refusal) else not_granted(grants, room) or grants

    def own_grants(self, client: Client, token: str) -> Grants | Refusal:
        """What a token for a single room allows; it has to be the session's user's, where that has one."""
        grants = self._hub.admit(token, client.visitor)
        if isinstance(grants, Grants) and client.grants.user not in (None, grants.user):
            return Refusal(ErrorCode.UNAUTHORIZED, "the token is another user's")
        return grants

    async def _opening(self, entry: Entry, create: Create) -> Entry | Refusal:
        """Who opens a room says what holds in it."""
        hashed = await self._passwords.hash(create.password) if create.password is not None else None
        if isinstance(hashed, Refusal):
            return hashed
        roles: dict[str, tuple[str, ...]] = {role: tuple(abilities) for role, abilities in create.roles.items()}
        terms = Terms(create.capacity, hashed, roles)
        return entry._replace(candidate=entry.candidate._replace(terms=terms, room_meta=bytes_of(create.meta)))

    async def _knocking(
        self, client: Client, entry: Entry, hashed: str | None, password: str | None
    ) -> Entry | Refusal:
        """Whether who comes into a room knows its password, where it has one."""
        if hashed is None:
            return entry
        if password is None:
            return _WRONG_PASSWORD
        is_right = await self._passwords.check(hashed, password, _whose(client), self._hub.policy.password_rate)
        if isinstance(is_right, Refusal):
            self._hub.instruments.rate_limited["passwords",] += 1
            return is_right
        return entry._replace(candidate=entry.candidate._replace(proven=hashed)) if is_right else _WRONG_PASSWORD


def candidate_of(client: Client, grants: Grants, membership: Membership) -> Candidate:
    """Who a membership, new or remembered, makes of a client."""
    return Candidate(
        member=membership.member,
        sid=client.sid,
        user=grants.user,
        meta=membership.meta,
        order=membership.order,
        role=grants.role,
        expires=grants.expires,
        proven=membership.terms.password,
        terms=membership.terms,
        room_meta=membership.room_meta,
        turn_user=membership.turn_user,
    )


def not_granted(grants: Grants, room: str) -> Refusal | None:
    if grants.allow(Ability.JOIN, room):
        return None
    return Refusal(ErrorCode.FORBIDDEN, "the token does not let you into that room", details={"needs": Ability.JOIN})


def meta_refusal(meta: msgspec.Raw) -> Refusal | None:
    """Why this cannot be attached to a member or a room: whoever lists them has to read it, too."""
    if meta is NULL:
        return None
    if len(bytes(meta)) > MAX_META:
        return Refusal(ErrorCode.BAD_REQUEST, f"meta holds at most {MAX_META} bytes", details={"meta_bytes": MAX_META})
    try:
        msgspec.json.decode(meta)
    except (msgspec.DecodeError, RecursionError):
        return Refusal(ErrorCode.BAD_REQUEST, "meta has a number out of range in it, or half of a surrogate pair")
    return None


def bytes_of(raw: msgspec.Raw) -> msgspec.Raw:
    """The same JSON without the frame that it was a part of, which would stay in memory otherwise."""
    return msgspec.Raw(bytes(raw))


def _whose(client: Client) -> bytes:
    """Whose guesses these are."""
    user = client.grants.user
    return b"source:" + client.visitor.source if user is None else b"user:" + user.encode()
