"""A session with all that its node knows of it, packed to go on at another node."""

from collections import deque
from typing import NamedTuple

import msgspec

from fairlead.buckets import TokenBucket
from fairlead.clock import Now
from signal_api.clients import Client, Owed, Visitor
from signal_api.protocol.authorization import Grants
from signal_api.protocol.effects import Receipt
from signal_api.protocol.messages import ServerFrame
from signal_api.protocol.rooms import Terms
from signal_api.protocol.sessions import LOG_FRAMES, Membership, Session


class Said(NamedTuple):
    """The reply to a frame that took effect some seconds ago."""

    id: str
    age: float
    reply: ServerFrame


class Unproven(NamedTuple):
    """A frame that was delivered some seconds ago, and who is told if it was lost."""

    age: float
    receipt: Receipt


class Luggage(msgspec.Struct, frozen=True):
    """`places` are memberships as JSON, `log` the last frames up to `seq`; `silent` says for how many seconds the
    client was not heard; `renewals` are rooms, and when (Unix time) the TURN credential for each is made anew. What is
    still owed to who came back, as signal_api.clients.Client has it, is owed by the next node.

    What is read from a store, rather than handed over, is certain only so far as the log goes: its old node may have
    sent more. Without an epoch nothing of the log is certain.
    """

    sid: str
    key_digest: bytes
    epoch: str
    seq: int
    is_renewed: bool
    grants: Grants
    visitor: Visitor
    places: tuple[bytes, ...] = ()
    renewals: tuple[tuple[str, float], ...] = ()
    log: tuple[ServerFrame, ...] = ()
    replies: tuple[Said, ...] = ()
    unproven: tuple[Unproven, ...] = ()
    silent: float = 0.0
    is_certain: bool = True
    is_regranted: bool = False
    begins_anew: bool = False


class _Place(msgspec.Struct, frozen=True):
    """A membership as it is written; see there."""

    room: str
    member: str
    order: int | None
    meta: msgspec.Raw
    turn_user: str
    present: bool
    grants: Grants | None
    terms: Terms
    room_meta: msgspec.Raw


_place = msgspec.json.Decoder(_Place)
_fields = _Place.__struct_fields__


def write_place(membership: Membership) -> bytes:
    return msgspec.json.encode(_Place(*(getattr(membership, name) for name in _fields)))


def read_place(written: bytes) -> Membership:
    place = _place.decode(written)
    return Membership(*(getattr(place, name) for name in _fields))


def pack(client: Client, now: Now, whole: bool = True) -> Luggage:
    """All of a client but its connection; without what has to be sent again unless it is `whole`."""
    session = client.session
    record = Luggage(
        sid=session.sid,
        key_digest=session.key_digest,
        epoch=session.epoch,
        seq=session.seq,
        is_renewed=session.is_renewed,
        grants=client.grants,
        visitor=client.visitor,
        places=tuple(write_place(membership) for membership in session.rooms.values()),
        renewals=tuple((room, now.wall + due - now.monotonic) for room, due in client.renewals.items()),
        is_regranted=client.is_regranted,
        begins_anew=client.begins_anew,
    )
    if not whole:
        return record
    return msgspec.structs.replace(
        record,
        log=tuple(entry.frame for entry in session.log),
        replies=tuple(Said(key, now.monotonic - at, reply) for key, at, reply in session.replies()),
        unproven=tuple(Unproven(now.monotonic - owed.at, owed.receipt) for owed in client.owed or ()),
        silent=now.monotonic - client.last_heard,
    )


def unpack(luggage: Luggage, now: Now) -> Client:
    """The client as it was; nobody is connected to it."""
    session = Session(luggage.sid, luggage.key_digest, luggage.epoch)
    session.continue_at(luggage.seq, luggage.log, luggage.is_renewed, luggage.is_certain)
    for said in luggage.replies:
        session.remember(said.id, said.reply, now.monotonic - said.age)
    for membership in map(read_place, luggage.places):
        session.rooms[membership.room] = membership
    client = Client(session, luggage.grants, luggage.visitor, TokenBucket(), now.monotonic - luggage.silent)
    client.renewals = {room: now.monotonic + due - now.wall for room, due in luggage.renewals}
    client.is_regranted, client.begins_anew = luggage.is_regranted, luggage.begins_anew
    if luggage.unproven:
        owed = (Owed(now.monotonic - age, receipt) for age, receipt in luggage.unproven)
        client.owed = deque(owed, maxlen=LOG_FRAMES)
    return client
