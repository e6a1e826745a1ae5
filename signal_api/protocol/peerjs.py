"""The words of PeerJS and of sig.v1 for the same things. A PeerJS client is a member of a room under an id that it
chose; what it calls OFFER is `offer`, and its payload travels as `data`, opaque.
"""

import hashlib
import re
from collections import deque
from typing import NamedTuple
from urllib.parse import parse_qs

import msgspec

from signal_api.protocol.messages import NULL, made_whole, to_json

#: seconds that a frame waits for a peer that is not there
EXPIRE_AFTER = 5.0
#: seconds after which a peer that says nothing is gone; it speaks every 5, and every 60 in a tab that nobody looks at
ALIVE_FOR = 90.0
#: frames, and bytes of them, that wait for absent peers at most, for each sender
MOST_WAITING = 64
MOST_WAITING_BYTES = 256 * 1024
LONGEST_ID = 64

#: What a frame without meaning for sig.v1 becomes: a sign of life, which is counted and limited as any frame is.
ALIVE = b'{"type":"pong"}'
OPEN = b'{"type":"OPEN"}'

_EXPIRE = "x.peerjs.expire"
_TO_SIG = {"OFFER": "offer", "ANSWER": "answer", "CANDIDATE": "candidate", "LEAVE": "bye", "EXPIRE": _EXPIRE}
_TO_PEERJS = {sig: word for word, sig in _TO_SIG.items()}
#: Of these nobody waits for the delivery.
_PASSING = frozenset({"LEAVE", "EXPIRE"})
#: As the client checks it, but for the length.
_ID = re.compile(r"[A-Za-z0-9]+(?:[ _-][A-Za-z0-9]+)*")


class Approach(NamedTuple):
    """What a client says in the URL of its WebSocket."""

    key: str
    id: str
    token: str


class Message(NamedTuple):
    """A message of a client, `frame` in sig.v1. `dst` is None for a LEAVE of the client itself."""

    word: str
    dst: str | None
    frame: bytes

    @property
    def waits(self) -> bool:
        """Whether it is kept for a peer that is not there."""
        return self.word not in _PASSING


class _Spoken(msgspec.Struct, frozen=True):
    type: str
    dst: str | None = None
    payload: msgspec.Raw = NULL


class _Relayed(msgspec.Struct, frozen=True):
    type: str
    sender: str = msgspec.field(default="", name="from")
    data: msgspec.Raw = NULL


_spoken = msgspec.json.Decoder(_Spoken)
_relayed = msgspec.json.Decoder(_Relayed)


def read_query(query: bytes) -> Approach | None:
    """The parameters of the WebSocket; None when one is missing."""
    try:
        named = parse_qs(query.decode("latin-1"), max_num_fields=16)
        return Approach(named["key"][-1], named["id"][-1], named["token"][-1])
    except (ValueError, KeyError):
        return None


def is_id(text: str) -> bool:
    """Whether a client may have this id."""
    return len(text) <= LONGEST_ID and _ID.fullmatch(text) is not None


def owner(user: str | None, token: str) -> str:
    """Whose id it is: a user's, whatever the token of the day, or whoever has the token."""
    return f"user:{user}" if user is not None else f"token:{hashlib.sha256(token.encode()).hexdigest()}"


def room_of(key: str) -> str:
    """The room of the peers that know each other by this key."""
    return f"peerjs:{key}"


def read(text: bytes, room: str) -> Message | None:
    """A message in sig.v1; None for what has no meaning, as the heartbeat, which is there to be heard."""
    try:
        spoken = _read_whole(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    kind = _TO_SIG.get(spoken.type)
    if kind is None or (spoken.dst is None and spoken.type != "LEAVE"):
        return None
    payload = bytes(spoken.payload)
    if spoken.type not in _PASSING and not payload.startswith(b"{"):
        return None  # Its receiver would stumble over it.
    head = b'{"type":%b,"room":%b,"to":%b,"data":' % (to_json(kind), to_json(room), to_json(spoken.dst))
    return Message(spoken.type, spoken.dst, head + payload + b"}")


def _read_whole(text: bytes) -> _Spoken:
    try:
        return _spoken.decode(text)
    except msgspec.DecodeError:
        return _spoken.decode(made_whole(text))


def write(frame: bytes, to: str) -> bytes | None:
    """A frame of sig.v1 for the peer `to`; None for what PeerJS has no word for."""
    relayed = _relayed.decode(frame)
    if relayed.type == "joined":
        return OPEN
    word = _TO_PEERJS.get(relayed.type)
    return None if word is None else _message(word, relayed.sender, to, bytes(relayed.data))


def expire(absent: str, to: str) -> bytes:
    """Tells the peer `to` that another is not there."""
    return _message("EXPIRE", absent, to, b"null")


def complaint(word: str, text: str) -> bytes:
    """ERROR, ID-TAKEN or INVALID-KEY: each makes the client give up, so there is none for what may pass."""
    return b'{"type":%b,"payload":{"msg":%b}}' % (to_json(word), to_json(text))


def _message(word: str, src: str, dst: str, payload: bytes) -> bytes:
    rest = b"" if payload == b"null" else b',"payload":' + payload
    return b'{"type":%b,"src":%b,"dst":%b%b}' % (to_json(word), to_json(src), to_json(dst), rest)


class Waiting:
    """What one peer has sent to others that are not there, in the order of each."""

    def __init__(self) -> None:
        self._frames: dict[str, deque[bytes]] = {}
        self._count = 0
        self._bytes = 0

    def __contains__(self, dst: str) -> bool:
        return dst in self._frames

    def add(self, dst: str, frame: bytes) -> bool:
        """Keeps a frame; False when there is no room for it."""
        if self._count >= MOST_WAITING or self._bytes + len(frame) > MOST_WAITING_BYTES:
            return False
        self._frames.setdefault(dst, deque()).append(frame)
        self._count += 1
        self._bytes += len(frame)
        return True

    def first(self, dst: str) -> bytes | None:
        """The oldest frame for a peer, which stays; None when there is none."""
        frames = self._frames.get(dst)
        return frames[0] if frames else None

    def drop_first(self, dst: str) -> None:
        """Forgets the oldest frame for a peer; no error when there is none."""
        frames = self._frames.get(dst)
        if frames:
            self._forget(frames.popleft())
        if not frames:
            self._frames.pop(dst, None)

    def drop(self, dst: str) -> None:
        """Forgets all for a peer."""
        for frame in self._frames.pop(dst, ()):
            self._forget(frame)

    def _forget(self, frame: bytes) -> None:
        self._count -= 1
        self._bytes -= len(frame)
