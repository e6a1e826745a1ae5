"""More of everything, from one source: the limit answers, is counted, and nothing grows beyond it."""

import contextlib
import json
import time
from functools import partial
from urllib.parse import quote

from tests.hostile.cases import attack
from tests.hostile.raw import PING, PONG, TEXT, Raw, Reply, frame, new_source
from tests.hostile.target import LIMITS, Target
from tests.processes import JOIN_KEY

#: bytes that a whole attack may leave in the memory of the process
_NOISE = 24 << 20


@attack("flood: connections that say nothing")
def _connections(target: Target) -> None:
    source, most = new_source(), int(LIMITS["connections_per_source"])
    before = target.metric("turned_away_total", reason="per_source")
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(Raw(target.place, source)) for _ in range(most + 20)]
        for raw in held[most:]:
            reply = raw.reply()
            assert (reply.status, reply.code) == (429, "rate_limited")
            assert raw.rest() == b""
        assert target.metric("turned_away_total", reason="per_source") == before + 20
        assert target.ask("GET", "/v1/info").status == 200, "another source is not meant"
    with Raw(target.place, source) as raw:
        raw.request("GET", "/v1/info")
        assert raw.reply().status in (200, 429)


@attack("flood: WebSockets that never say hello")
def _upgrades(target: Target) -> None:
    source, most = new_source(), int(LIMITS["sessions_per_source"])
    refused = []
    with contextlib.ExitStack() as stack:
        for _ in range(most + 40):
            reply = stack.enter_context(Raw(target.place, source)).upgrade()
            if reply.status != 101:
                refused.append((reply.code, reply.headers["retry-after"]))
    assert refused
    assert set(refused) == {("rate_limited", "1")}


@attack("flood: sessions of one source")
def _sessions(target: Target) -> None:
    source, most = new_source(), int(LIMITS["sessions_per_source"])
    hello = json.dumps({"v": 1, "token": JOIN_KEY}).encode()
    with Raw(target.place, source) as raw:
        codes = []
        for _ in range(most + 10):
            raw.request("POST", "/v1/sessions", hello)
            reply = raw.reply()
            codes.append("opened" if reply.status == 201 else reply.code)
    assert 1 <= codes.count("opened") <= most
    assert set(codes[most:]) <= {"over_capacity", "rate_limited"}
    assert len(set(codes)) > 1


@attack("flood: sessions of one user")
def _user(target: Target) -> None:
    token = target.token("legion")
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(target.entered(token))
        with Raw(target.place) as raw:
            assert raw.upgrade().status == 101
            raw.say("hello", data={"v": 1, "token": token})
            assert raw.closing().close_code == 4010


@attack("flood: frames as small as can be")
def _frames(target: Target) -> None:
    """First each is refused, then the connection, unless the refusals that it does not read are too many before."""
    with target.entered() as guest:
        with contextlib.suppress(ConnectionError):
            guest.raw.send(frame(TEXT, b'{"type":"pong"}') * 1000)
        while (heard := guest.raw.read()).opcode == TEXT:
            assert b'"rate_limited"' in heard.payload
        assert heard.close_code in (4103, 4104)


@attack("flood: rooms of one session")
def _rooms(target: Target) -> None:
    with target.entered() as guest:
        for number in range(8):
            guest.join(f"room {number}")
        assert guest.refusal("join", room="room 8")["code"] == "too_many_rooms"
        assert guest.is_well()


@attack("flood: credentials")
def _credentials(target: Target) -> None:
    """Thirty at once, and one every two seconds."""
    with Raw(target.place) as raw:
        begun, given = time.monotonic(), 0
        while (reply := _ice(raw)).status == 200:
            given += 1
            assert given <= 31 + (time.monotonic() - begun) / 2
    assert (reply.code, given >= 30) == ("rate_limited", True)


def _ice(raw: Raw) -> Reply:
    raw.request("GET", "/v1/ice", Authorization=f"Bearer {JOIN_KEY}")
    return raw.reply()


def _floods(opcode: int, path: str, target: Target) -> None:
    """Frames that are no messages, from who reads nothing: neither they nor the answers to them add up."""
    before = target.daemon.resident_memory()
    with target.entered() as guest, Raw(target.place, buffer=4096) as raw:
        assert raw.upgrade(path).status == 101
        raw.say("hello", data={"v": 1, "token": JOIN_KEY})
        flood = frame(TEXT, b"{", fin=False) + frame(opcode, b"p" * (125 if opcode else 0), fin=bool(opcode)) * 20000
        with contextlib.suppress(ConnectionError):
            for _ in range(20):
                raw.send(flood)
            raw.rest()
        assert target.daemon.resident_memory() - before < _NOISE
        assert guest.is_well()


for _name, _opcode in {"pings": PING, "pongs": PONG, "fragments of nothing": 0}.items():
    attack(f"flood: {_name}")(partial(_floods, _opcode, "/v1/ws"))
    attack(f"flood: {_name}, by PeerJS")(partial(_floods, _opcode, "/peerjs?key=" + quote(JOIN_KEY) + "&id=p&token=t"))


@attack("flood: messages for who never reads")
def _slow_reader(target: Target) -> None:
    """It is closed, may come back for what it missed, and nobody waits for it."""
    closed = target.metric("closes_total", code="4104")
    with target.entered(room="slow", token=target.token("s1")) as sender, Raw(target.place, buffer=4096) as sleeper:
        assert sleeper.upgrade().status == 101
        sleeper.say("hello", data={"v": 1, "token": JOIN_KEY, "rooms": ["slow"]})
        with target.entered(room="slow") as reader:
            sender.raw.hear("member.joined")
            for number in range(120):
                sender.raw.say("message", room="slow", to="*", data=["x" * 12000, number])
                assert reader.raw.hear("message")["data"][1] == number
        assert target.metric("closes_total", code="4104") > closed
        assert sender.is_well()


@attack("flood: requests on one connection, without waiting")
def _pipelined(target: Target) -> None:
    """They are answered one after the other, in their order."""
    with Raw(target.place) as raw:
        head = raw.head("GET", "/v1/info", {})
        raw.send(head * 100)
        assert [raw.reply().status for _ in range(100)] == [200] * 100


@attack("flood: made-up keys of sessions")
def _keys(target: Target) -> None:
    before = target.daemon.resident_memory()
    with Raw(target.place) as raw:
        for number in range(300):
            raw.request("GET", f"/v1/sessions/s_{number}/events", Authorization=f"Bearer {number}")
            assert raw.reply().code == "session_expired"
    assert target.daemon.resident_memory() - before < _NOISE
