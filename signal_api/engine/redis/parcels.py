"""How effects and sessions are written in Redis."""

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from signal_api.luggage import Luggage, read_place, write_place
from signal_api.protocol.effects import Addressed, Broadcast, Deliver, Effect, Own, Revoked, Tell
from signal_api.protocol.messages import ServerFrame
from signal_api.protocol.revocations import Revocation
from signal_api.protocol.rooms import Member, Room
from signal_api.protocol.sessions import Membership
from signal_api.relay.reports import Report

_encode = msgspec.msgpack.Encoder().encode
_effect = msgspec.msgpack.Decoder(Effect)
_luggage = msgspec.msgpack.Decoder(Luggage)
_frame = msgspec.msgpack.Decoder(ServerFrame)
_room = msgspec.json.Decoder(Room)
_revocation = msgspec.msgpack.Decoder(Revocation)
_report = msgspec.msgpack.Decoder(Report)

read_effect = _effect.decode
read_luggage = _luggage.decode
read_frame = _frame.decode
read_room = _room.decode
read_revocation = _revocation.decode
read_report = _report.decode


def write(value: Luggage | ServerFrame | Revocation | Report) -> bytes:
    return _encode(value)


def write_room(room: Room | None) -> bytes:
    """JSON, since what members say of themselves is JSON; nothing when the room is gone."""
    return b"" if room is None else msgspec.json.encode(room)


def hashed(name: str) -> str:
    """What stands for a name, as of a room, in the name of a key: what users write never does."""
    return hashlib.sha256(name.encode()).hexdigest()[:40]


def write_member(room: str, member: Member) -> bytes:
    """Who a session is in a room, as the room says."""
    return write_place(Membership(room, member.id, member.order, member.meta, member.turn_user))


def for_nodes(effects: Sequence[Effect]) -> list[Any]:
    """Effects as arguments of a script: their number, and with each that of its sessions; -1 stands for every node, -2
    for the one that asks."""
    arguments: list[Any] = [len(effects)]
    for effect in effects:
        if isinstance(effect, Broadcast | Own):
            arguments += [-1 if isinstance(effect, Broadcast) else -2, _encode(effect)]
        else:
            arguments += [len(effect.to), *effect.to, _encode(effect)]
    return arguments


def narrowed(effect: Addressed | Tell, sids: Sequence[str]) -> Addressed:
    """The effect for these of its sessions alone."""
    if isinstance(effect, Tell):
        return Deliver(tuple(sids), effect.frame)
    if len(sids) == len(effect.to):
        return effect
    if isinstance(effect, Deliver) and effect.receipts:
        pairs = zip(effect.to, effect.receipts, strict=True)
        return Deliver(tuple(sids), effect.frame, tuple(receipt for sid, receipt in pairs if sid in sids))
    return msgspec.structs.replace(effect, to=tuple(sids))


def for_session(effect: Effect, sid: str, user: str | None) -> Effect | None:
    """The effect for one session of this user alone; None when it is for others."""
    if isinstance(effect, Revoked):
        return effect
    if isinstance(effect, Own):
        return None
    if isinstance(effect, Tell):
        return narrowed(effect, (sid,)) if effect.user == user else None
    return narrowed(effect, (sid,)) if sid in effect.to else None


def pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    """A hash as Redis tells it."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def restored(record: Luggage, found: dict[bytes, bytes], frames: list[bytes]) -> Luggage:
    """What was kept of a session: its log, and its memberships where the rooms agree; others it may come back to."""
    places = {place.room: place for place in map(read_place, record.places)}
    for place in places.values():
        place.present = False
    for key, value in found.items():
        if key.startswith(b"r:"):
            told = read_place(value)
            place = places.setdefault(told.room, told)
            place.member, place.order, place.meta, place.turn_user = told.member, told.order, told.meta, told.turn_user
            place.present = True
    return msgspec.structs.replace(
        record,
        seq=int(found[b"seq"]),
        places=tuple(map(write_place, places.values())),
        log=tuple(map(read_frame, frames)),
        is_certain=False,
    )
