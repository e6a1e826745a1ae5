"""The gateway for pages that use PeerJS, unmodified: what PeerServer promises them, on sessions and rooms of sig.v1.

A peer is a session that lasts as long as its WebSocket and is a member of the room of its key. Its messages become
frames of sig.v1 and go the way of all frames, through the same limits and into the same counters; what its session is
sent becomes messages, or nothing where PeerJS has no word for it.
"""

from functools import partial
from typing import NamedTuple

import msgspec

from signal_api.clients import Client, Visitor
from signal_api.node.dispatch import Dispatch
from signal_api.node.hub import Hub
from signal_api.node.registry import Registry
from signal_api.protocol import peerjs
from signal_api.protocol.authorization import GUEST, Ability, Grants
from signal_api.protocol.claims import Claim
from signal_api.protocol.effects import Announce, LeaveReason
from signal_api.protocol.messages import ServerFrame, server_frame
from signal_api.protocol.refusals import CloseCode, Closing, ErrorCode, Refusal
from signal_api.protocol.sessions import Session
from signal_api.timers import Timer
from signal_api.transports.peerjs_http import PeerJsRequests
from signal_api.transports.websocket import WebSocketConnection, converse
from signal_api.web.asgi import Receive, Scope, Send

#: how a WebSocket ends whose client meant it (RFC 6455 section 7.4.1; 1005: it gave no code)
_MEANT = frozenset({1000, 1001, 1005})
#: what a peer without a token may do, in the room of its key
_WITHOUT_TOKEN = frozenset({Ability.JOIN, Ability.CREATE, Ability.PRIVATE})

#: how the frame begins that tells a session that a room is no place for it any more; a peer is in no other
_ROOM_CLOSED = server_frame("room.closed").head


class Rejection(NamedTuple):
    """The close of a connection that is not taken; before it a complaint, which makes the client give up for good,
    where coming back would not help."""

    closing: Closing
    complaint: bytes | None = None


class PeerConnection(WebSocketConnection):
    """The way out to one peer. Nothing is ever sent twice, so the session keeps nothing that was written."""

    transport = "peerjs"

    def __init__(self, hub: Hub, send: Send) -> None:
        super().__init__(hub, send)
        self.peer = ""
        self.session: Session | None = None

    def send(self, frame: ServerFrame, seq: int | None = None) -> None:
        if frame.head == _ROOM_CLOSED:
            self.close(CloseCode.ROOM_CLOSED)
        elif (message := peerjs.write(frame.encode(None), self.peer)) is not None:
            self.tell(message)
        if self.session is not None and seq is not None:
            self.session.acknowledge(seq)

    def tell(self, message: bytes) -> None:
        """Queues a message of PeerJS."""
        self._put(message)

    def reject(self, rejection: Rejection) -> None:
        if rejection.complaint is not None:
            self.tell(rejection.complaint)
        self.close(*rejection.closing)


class Peer:
    """One peer: what it says goes out, or waits a moment for who is not there."""

    def __init__(
        self, hub: Hub, dispatch: Dispatch, client: Client, connection: PeerConnection, room: str, claim: Claim
    ) -> None:
        self.client = client
        self.room = room
        self.claim = claim
        self._hub = hub
        self._dispatch = dispatch
        self._connection = connection
        self._waiting = peerjs.Waiting()
        self._expiries: dict[str, Timer] = {}
        self._catching_up: set[str] = set()
        client.on_news = self._hear_news

    async def receive(self, text: bytes) -> Closing | None:
        """Handles one message; a Closing when the connection must not go on."""
        message = peerjs.read(text, self.room)
        if message is None:
            return (await self._send(peerjs.ALIVE)).closing
        if message.dst is None:
            return Closing(CloseCode.NORMAL, "left")
        if not peerjs.is_id(message.dst) or message.dst in self._waiting:
            self._wait_for(message.dst, message)
            return (await self._send(peerjs.ALIVE)).closing
        sent = await self._send(message.frame)
        if sent.is_absent:
            self._wait_for(message.dst, message)
        return sent.closing

    def end(self) -> None:
        """Forgets what waits: whoever it is for will not hear from this peer any more."""
        for timer in self._expiries.values():
            timer.cancel()
        self._expiries.clear()
        self.client.on_news = None  # They hold each other.

    def _wait_for(self, absent: str, message: peerjs.Message) -> None:
        if not message.waits:
            return
        if not self._waiting.add(absent, message.frame):
            self._expire(absent)
        elif absent not in self._expiries:
            self._expiries[absent] = self._hub.timers.after(peerjs.EXPIRE_AFTER, partial(self._try_last, absent))

    def _try_last(self, absent: str) -> None:
        self._hub.spawn(self._give_up(absent))

    async def _give_up(self, absent: str) -> None:
        """News can be lost on the way between nodes: it is tried once more before it is given up."""
        if peerjs.is_id(absent):
            await self._catch_up(absent)
        if absent in self._waiting:
            self._expire(absent)

    def _expire(self, absent: str) -> None:
        self._stop_waiting(absent)
        self._waiting.drop(absent)
        self._connection.tell(peerjs.expire(absent, self.claim.id))

    def _stop_waiting(self, absent: str) -> None:
        timer = self._expiries.pop(absent, None)
        if timer is not None:
            timer.cancel()

    def _hear_news(self, news: Announce) -> None:
        if self._expiries and news.kind == "member.joined":
            joined = _named.decode(news.member).id
            if joined in self._waiting:
                self._hub.spawn(self._catch_up(joined))

    async def _catch_up(self, peer: str) -> None:
        """Sends what waited for a peer that has come; what it is sent meanwhile queues behind."""
        if peer in self._catching_up:
            return
        self._catching_up.add(peer)
        try:
            while (frame := self._waiting.first(peer)) is not None:
                sent = await self._send(frame)
                if sent.closing is not None:
                    self._connection.close(*sent.closing)
                if sent.closing is not None or sent.is_absent:
                    return
                self._waiting.drop_first(peer)
            self._stop_waiting(peer)
        finally:
            self._catching_up.discard(peer)

    async def _send(self, frame: bytes) -> "_Sent":
        answers: list[ServerFrame] = []
        closing = await self._dispatch.receive(self.client, frame, answers.append)
        return _Sent(closing, any(_answer.decode(answer.encode(None)).is_absence for answer in answers))


class _Sent(NamedTuple):
    """What became of a frame: its receiver may not be there, or the connection must not go on."""

    closing: Closing | None
    is_absent: bool


class _Problem(msgspec.Struct, frozen=True):
    code: str = ""


class _Answer(msgspec.Struct, frozen=True):
    type: str
    data: _Problem | None = None

    @property
    def is_absence(self) -> bool:
        return self.type == "error" and self.data is not None and self.data.code == ErrorCode.PEER_NOT_FOUND


class _Named(msgspec.Struct, frozen=True):
    id: str


_answer = msgspec.json.Decoder(_Answer)
_named = msgspec.json.Decoder(_Named)


class PeerJsTransport:
    """Serves WebSockets of PeerJS clients whose Host and Origin have been judged."""

    def __init__(self, hub: Hub, dispatch: Dispatch, registry: Registry) -> None:
        #: what its clients ask for by HTTP
        self.requests = PeerJsRequests(hub, registry)
        self._hub = hub
        self._dispatch = dispatch
        self._registry = registry

    async def serve(self, scope: Scope, receive: Receive, send: Send, visitor: Visitor) -> None:
        """Accepts, reads until either side ends it, and with it the peer."""
        await receive()
        await send({"type": "websocket.accept"})
        connection = PeerConnection(self._hub, send)
        asked = peerjs.read_query(scope["query_string"])
        await converse(connection, self._read(asked, receive, connection, visitor))

    async def _read(
        self, asked: peerjs.Approach | None, receive: Receive, connection: PeerConnection, visitor: Visitor
    ) -> None:
        peer = _MISSING if asked is None else await self._enter(asked, visitor, connection)
        if isinstance(peer, Rejection):
            connection.reject(peer)
            return
        reason = LeaveReason.TIMEOUT
        try:
            most = self._hub.policy.peerjs.peers
            refusal = await self._registry.claim(peer.client, peer.room, peer.claim, most)
            if refusal is None:
                reason = await self._listen(peer, receive, connection)
            else:
                connection.reject(_rejection_of(refusal))
        finally:
            peer.end()
            self._hub.detach(peer.client, connection)
            self._hub.end(peer.client, reason)

    async def _listen(self, peer: Peer, receive: Receive, connection: PeerConnection) -> LeaveReason:
        """Handles what comes until it ends, and says how it did. Who was told to go is not heard any more."""
        while not connection.is_closing:
            message = await receive()
            if message["type"] != "websocket.receive":
                return LeaveReason.LEAVE if message.get("code") in _MEANT else LeaveReason.TIMEOUT
            if connection.is_closing:
                break
            text = message.get("text")
            closing = _NO_BINARY if text is None else await peer.receive(text.encode())
            if closing is not None:
                connection.close(*closing)
                return LeaveReason.LEAVE if closing.code is CloseCode.NORMAL else LeaveReason.TIMEOUT
        return LeaveReason.TIMEOUT

    async def _enter(self, asked: peerjs.Approach, visitor: Visitor, connection: PeerConnection) -> Peer | Rejection:
        """A session, for who may have one; that the id is free is not known yet."""
        keys, doorkeeper = self._hub.policy.peerjs.keys, self._hub.policy.doorkeeper
        has_join_key = doorkeeper.is_join_key(asked.key)
        if asked.key not in keys and not has_join_key:
            text = "Invalid key provided"
            return Rejection(Closing(CloseCode.UNAUTHORIZED, text), peerjs.complaint("INVALID-KEY", text))
        if not peerjs.is_id(asked.id):
            text = f"an id is up to {peerjs.LONGEST_ID} letters and digits, with single spaces, - or _ between them"
            return Rejection(Closing(CloseCode.BAD_REQUEST, text), peerjs.complaint("ERROR", text))
        room = peerjs.room_of(keys[0] if has_join_key else asked.key)
        await self._hub.look_for_key(asked.token)
        grants = GUEST if has_join_key else self._grants(asked.token, visitor, room)
        if isinstance(grants, Refusal):
            return _rejection_of(grants)
        client = await self._hub.open(grants, visitor, connection)
        if isinstance(client, Closing):
            return Rejection(client, peerjs.complaint("ERROR", client.reason))
        self._hub.expect_heartbeats(client, connection, peerjs.ALIVE_FOR)
        connection.peer, connection.session = asked.id, client.session
        claim = Claim(asked.id, peerjs.owner(grants.user, asked.token))
        return Peer(self._hub, self._dispatch, client, connection, room, claim)

    def _grants(self, token: str, visitor: Visitor, room: str) -> Grants | Refusal:
        """A token that is none of ours is PeerJS's own, a random text: it proves an id, and grants nothing."""
        without = self._grants_without_token(visitor, room)
        if without is not None:
            known = self._hub.policy.doorkeeper.admit(token, visitor.is_local, self._hub.clock.now())
            if isinstance(known, Refusal) and known.code is ErrorCode.UNAUTHORIZED:
                return without
        return self._hub.admit(token, visitor)

    def _grants_without_token(self, visitor: Visitor, room: str) -> Grants | None:
        local = self._hub.policy.doorkeeper.admit(None, visitor.is_local, self._hub.clock.now())
        if isinstance(local, Grants):
            return local
        return Grants(None, (room,), _WITHOUT_TOKEN) if self._hub.policy.peerjs.open else None


_NO_BINARY = Closing(CloseCode.BAD_REQUEST, "messages are text")
_NOT_SAID = "No id, token, or key supplied to websocket server"
_MISSING = Rejection(Closing(CloseCode.BAD_REQUEST, _NOT_SAID), peerjs.complaint("ERROR", _NOT_SAID))


def _rejection_of(refusal: Refusal) -> Rejection:
    """How a peer is told that it may not come in."""
    text = refusal.message
    match refusal.code:
        case ErrorCode.ID_TAKEN:
            return Rejection(Closing(CloseCode.FORBIDDEN, text), peerjs.complaint("ID-TAKEN", "ID is taken"))
        case ErrorCode.ROOM_FULL:
            text = "Server has reached its concurrent user limit"
            return Rejection(Closing(CloseCode.OVER_CAPACITY, text), peerjs.complaint("ERROR", text))
        case ErrorCode.ENGINE_UNAVAILABLE:
            return Rejection(Closing(CloseCode.ENGINE_UNAVAILABLE, text))
        case ErrorCode.TOKEN_EXPIRED:
            return Rejection(Closing(CloseCode.TOKEN_EXPIRED, text), peerjs.complaint("ERROR", text))
        case _:
            return Rejection(Closing(CloseCode.UNAUTHORIZED, text), peerjs.complaint("ERROR", text))
