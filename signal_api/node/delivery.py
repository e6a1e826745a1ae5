"""What an effect does at the node of those whom it is for."""

from collections.abc import Iterable, Iterator

import msgspec

from signal_api.clients import Client
from signal_api.engine.contract import Engine
from signal_api.node.hub import Hub
from signal_api.protocol.authorization import Grants
from signal_api.protocol.effects import (
    Announce,
    ClosedReason,
    Deliver,
    Effect,
    End,
    Expel,
    Happened,
    LeaveReason,
    Reported,
    Revoked,
    Tell,
)
from signal_api.protocol.messages import server_frame, to_json
from signal_api.protocol.refusals import CloseCode, EngineUnavailableError
from signal_api.protocol.revocations import Revocation, RevocationKind

#: seconds for which membership events are gathered
GATHER = 0.05
#: seconds until a token that somebody was kicked with is revoked again, when the store did not answer
_REVOKE_AGAIN = 1.0


class Undelivered(msgspec.Struct, frozen=True):
    """The frame of this id did not reach this member, whose session ended for the reason."""

    id: str
    to: str
    reason: str


class Delivery:
    """Takes effects from the engine to the sessions of this node; those that are elsewhere are left out."""

    def __init__(self, hub: Hub, engine: Engine) -> None:
        self._hub = hub
        self._engine = engine
        engine.subscribe(self.receive)

    def receive(self, effect: Effect) -> None:
        """Carries out one effect, now."""
        match effect:
            case Deliver():
                self._deliver(effect)
            case Announce():
                for client in self._clients(effect.to):
                    self._gather(client, effect)
            case Expel():
                for client in self._clients(effect.to):
                    self._expel(client, effect)
            case End():
                for client in self._clients(effect.to):
                    self._hub.end(client, effect.reason, effect.code)
            case Tell():
                for client in self._hub.roster.of(effect.user):
                    client.deliver(effect.frame)
            case Revoked():
                self._hub.revoke(effect.revocation)
            case Happened() | Reported():
                self._hub.chronicle.tell(effect)

    def _clients(self, sids: Iterable[str]) -> Iterator[Client]:
        for sid in sids:
            client = self._hub.roster.get(sid)
            if client is not None:
                yield client

    def _deliver(self, effect: Deliver) -> None:
        for sid in effect.to:
            client = self._hub.roster.get(sid)
            if client is not None:
                client.deliver(effect.frame)
        if effect.receipts:
            self._note_debts(effect)

    def _note_debts(self, effect: Deliver) -> None:
        now = self._hub.clock.now().monotonic
        for sid, receipt in zip(effect.to, effect.receipts, strict=True):
            client = self._hub.roster.get(sid)
            if client is not None:
                client.owe(receipt, now)

    def _gather(self, client: Client, effect: Announce) -> None:
        if client.on_news is not None:
            client.on_news(effect)
        elif client.session.gather(effect.kind, effect.room, effect.rseq, effect.member):
            client.flush = self._hub.timers.after(GATHER, client.send_news)

    async def give_up(self, client: Client, reason: LeaveReason) -> None:
        """Tells the senders of what a session takes with it when it ends."""
        lost = client.lost()
        client.owed = None
        self._hub.instruments.undelivered[reason.value,] += len(lost)
        for receipt in lost:
            body = to_json(Undelivered(receipt.id, receipt.to, reason.value))
            frame = server_frame("undelivered", body, room=receipt.room)
            await self._engine.publish((Deliver((receipt.sid,), frame),))

    def _expel(self, client: Client, effect: Expel) -> None:
        """The client hears which room is closed to it. It has to go where that was all it was here for, and where a
        kick takes the token that the session came by. A token for this room alone is judged by itself, and dies
        alone."""
        membership = client.leave(effect.room)
        if membership is not None:
            self._hub.rights.withdraw(membership.turn_user, effect.reason)
        client.deliver(server_frame("room.closed", to_json({"reason": effect.reason}), room=effect.room))
        own = membership.grants if membership is not None else None
        grants, is_left = own or client.grants, bool(client.session.rooms)
        if effect.reason is ClosedReason.KICKED:
            dies = grants.lie_within(effect.within)
            if dies:
                self._take_token(grants)
            if not is_left or (dies and own is None):
                self._hub.end(client, LeaveReason.KICKED, CloseCode.KICKED)
        elif not is_left and own is None and grants.rooms == (effect.room,):
            self._hub.end(client, LeaveReason.SHUTDOWN, CloseCode.ROOM_CLOSED)

    def _take_token(self, grants: Grants) -> None:
        if grants.user is not None:
            self._hub.rights.withdraw_user(grants.user, "kicked")
        if grants.token is not None and grants.expires is not None:
            now = self._hub.clock.now().wall
            dead = Revocation(RevocationKind.TOKEN, grants.token, now, grants.expires)
            self._hub.revocations.learn(dead, now)
            self._hub.spawn(self._revoke(dead))

    async def _revoke(self, dead: Revocation) -> None:
        """Tells every node. While the store does not answer it is tried again, for as long as the token would live."""
        try:
            await self._engine.revoke(dead)
        except EngineUnavailableError:
            if self._hub.clock.now().wall < dead.until:
                self._hub.timers.after(_REVOKE_AGAIN, lambda: self._hub.spawn(self._revoke(dead)))
