"""Who comes and says little, slowly: each has its time, and then its place is free again."""

import json
import time
from functools import partial

from tests.hostile.cases import attack
from tests.hostile.raw import TEXT, Raw, frame
from tests.hostile.target import HASTY, Target
from tests.processes import JOIN_KEY, PATIENCE

_HEAD = "GET /v1/info HTTP/1.1\r\nHost: {0}\r\n"
#: seconds between two bytes of who sends one now and then; many of them fit into the time for a head
_DRIP = HASTY["head_timeout"] / 8

#: {0} is our authority: what is said of a request, and the time that it is about
BEGINNINGS = {
    "nothing": ("", "head_timeout"),
    "half a line": ("GET /v1/in", "head_timeout"),
    "half a head": (_HEAD + "X: ", "head_timeout"),
    "half an upgrade": (_HEAD.replace("info", "ws") + "Upgrade: websocket\r\nConnection: Upg", "head_timeout"),
    "half a body": (
        _HEAD.replace("GET", "POST").replace("info", "ice") + "Content-Length: 9\r\n\r\n{{",
        "body_timeout",
    ),
    "half a hello by HTTP": (
        _HEAD.replace("GET", "POST").replace("info", "sessions") + "Content-Length: 9\r\n\r\n{{",
        "body_timeout",
    ),
    "half a chunk": (
        _HEAD.replace("GET", "POST").replace("info", "ice") + "Transfer-Encoding: chunked\r\n\r\n9\r\n{{",
        "body_timeout",
    ),
}


def _late(sent: str, time_of: str, target: Target) -> None:
    before = target.metric("turned_away_total", reason=time_of)
    with Raw(target.place) as raw:
        raw.send(sent.format(target.place).encode())
        assert raw.reply().code == "request_timeout"
        assert raw.rest() == b""
    assert target.metric("turned_away_total", reason=time_of) > before


for _name, (_sent, _time_of) in BEGINNINGS.items():
    attack(f"slow: {_name}", is_hasty=True)(partial(_late, _sent, _time_of))


@attack("slow: a byte now and then", is_hasty=True)
def _dripping(target: Target) -> None:
    """It buys no time: the end comes when it would have come without."""
    with Raw(target.place) as raw:
        begun = time.monotonic()
        try:
            for byte in _HEAD.format(target.place).encode() + b"X: " + b"x" * 10000:
                raw.send(bytes([byte]))
                raw.socket.settimeout(_DRIP)
                try:
                    heard = raw.socket.recv(65536)
                except TimeoutError:
                    continue
                assert b" 408 " in heard or not heard
                break
        except (BrokenPipeError, ConnectionResetError):
            pass  # It hung up while we were speaking.
        assert time.monotonic() - begun < PATIENCE


@attack("slow: an answer that was given, and the rest of its request", is_hasty=True)
def _answered(target: Target) -> None:
    with Raw(target.place) as raw:
        raw.send(raw.head("GET", "/v1/info", {"Content-Length": "100"}) + b"half")
        assert raw.reply().status == 200
        assert raw.rest() == b""


@attack("slow: no hello, or half of one", is_hasty=True)
def _silent(target: Target) -> None:
    for said in (b"", frame(TEXT, b'{"type":"hello"', fin=False), frame(9, b"ping") * 3):
        with Raw(target.place) as raw:
            assert raw.upgrade().status == 101
            raw.send(said)
            assert raw.closing().close_code == 4008


@attack("slow: a frame that does not end", is_hasty=True)
def _endless(target: Target) -> None:
    """Pings of the protocol in between are no sign of life: a client answers ours by frames."""
    for begun in (frame(TEXT, b'{"type":"x.a",', fin=False), frame(TEXT, b"", claimed=60000)[:10] + bytes(4) + b"{"):
        with target.entered() as guest:
            guest.raw.send(begun)
            assert guest.raw.closing().close_code == 4105


@attack("slow: events that nobody fetches", is_hasty=True)
def _unread(target: Target) -> None:
    """A stream that is not read, and a poll that is not finished, keep nobody waiting, least of all us."""
    opened = target.ask("POST", "/v1/sessions", json.dumps({"v": 1, "token": JOIN_KEY}).encode()).json()
    events, key = f"/v1/sessions/{opened['sid']}/events", f"Bearer {opened['key']}"
    with Raw(target.place, buffer=4096) as stream:
        stream.request("GET", events, Authorization=key, Accept="text/event-stream")
        assert stream.begun() == 200
        with Raw(target.place) as poll:
            poll.request("GET", f"{events}?wait=30", Authorization=key)
            assert target.ask("GET", f"{events}?wait=0", Authorization=key).status == 200
            assert poll.reply().status == 200
