"""What the clients of each server say: how they come in, and how one sends another a candidate of some 260 bytes."""

import json
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode

#: what a browser's candidate looks like; the server reads none of it
_CANDIDATE = {
    "candidate": "candidate:842163049 1 udp 1677729535 198.51.100.7 46154 typ srflx raddr 0.0.0.0 rport 0 generation 0 "
    "ufrag EsAw network-cost 999",
    "sdpMid": "0",
    "sdpMLineIndex": 0,
}
JOIN_KEY = "bench-bench-bench-bench"
#: numbers of this width that the load fills in: the time of sending, the highest seq that was seen, and a count
SENT, SEEN, COUNT = 1111111111111111, 2222222222, 3333333333


class Opening(NamedTuple):
    """How a connection begins: where to, with which headers, and what is said first."""

    url: str
    headers: dict[str, str]
    greeting: tuple[bytes, ...]


class Heard(NamedTuple):
    """What a text of the server means: `ready` when the client is in, `answer` when it has to be answered."""

    ready: bool = False
    answer: bytes | None = None


class Client(Protocol):
    """One end of a pair."""

    def opening(self) -> Opening: ...

    def hear(self, text: bytes) -> Heard: ...

    def frame(self) -> bytes:
        """A candidate for the other end, with the numbers that are filled in."""
        ...


_NOTHING = Heard()
_TIMED = _CANDIDATE | {"sent": SENT}


class SigV1:
    """A member of a room of two, ready when it knows the other."""

    def __init__(self, host: str, pair: int) -> None:
        self._host = host
        self._room = f"room-{pair}"
        self._other: str | None = None

    def opening(self) -> Opening:
        headers = {"Sec-WebSocket-Protocol": "sig.v1", "Origin": f"http://{self._host}"}
        hello = {"type": "hello", "data": {"v": 1, "token": JOIN_KEY, "rooms": [self._room]}}
        return Opening(f"ws://{self._host}/v1/ws", headers, (json.dumps(hello).encode(),))

    def hear(self, text: bytes) -> Heard:
        frame = json.loads(text)
        kind, data = frame["type"], frame.get("data")
        if kind in {"joined", "member.joined"}:
            self._other = next((member["id"] for member in data["members"]), self._other)
            return Heard(ready=self._other is not None)
        return Heard(answer=b'{"type":"pong"}') if kind == "ping" else _NOTHING

    def frame(self) -> bytes:
        frame = {"type": "candidate", "room": self._room, "to": self._other, "ack": SEEN, "data": _TIMED}
        return json.dumps(frame).encode()


class PeerJs:
    """A peer of PeerServer, or of what speaks as it does."""

    def __init__(self, host: str, pair: int, is_first: bool) -> None:
        self._host = host
        self._id, self._other = (f"bench-{pair}-{side}" for side in ("ab" if is_first else "ba"))

    def opening(self) -> Opening:
        query = urlencode({"key": "peerjs", "id": self._id, "token": self._id, "version": "1.5.4"})
        return Opening(f"ws://{self._host}/peerjs?{query}", {}, ())

    def hear(self, text: bytes) -> Heard:
        return Heard(ready=json.loads(text)["type"] == "OPEN")

    def frame(self) -> bytes:
        payload = {"candidate": _TIMED, "type": "data", "connectionId": "dc_bench"}
        return json.dumps({"type": "CANDIDATE", "dst": self._other, "payload": payload}).encode()


class Centrifuge:
    """A client of Centrifugo's protocol (JSON): each end listens on a channel of its own."""

    def __init__(self, host: str, pair: int, is_first: bool) -> None:
        self._host = host
        self._own, self._other = (f"bench-{pair}-{side}" for side in ("ab" if is_first else "ba"))

    def opening(self) -> Opening:
        begin: tuple[dict[str, Any], ...] = ({"id": 1, "connect": {}}, {"id": 2, "subscribe": {"channel": self._own}})
        url = f"ws://{self._host}/connection/websocket"
        return Opening(url, {}, (b"\n".join(json.dumps(command).encode() for command in begin),))

    def hear(self, text: bytes) -> Heard:
        heard = _NOTHING
        for line in text.split(b"\n"):
            reply = json.loads(line)
            if not reply:
                heard = Heard(answer=b"{}")
            elif reply.get("id") == 2:
                heard = Heard(ready=True)
        return heard

    def frame(self) -> bytes:
        return json.dumps({"id": COUNT, "publish": {"channel": self._other, "data": _TIMED}}).encode()
