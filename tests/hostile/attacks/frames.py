"""WebSocket frames that no client sends, and JSON that no client writes: each ends its connection, and no other."""

import json
import struct
import zlib
from collections.abc import Callable
from functools import partial

from tests.hostile.cases import attack
from tests.hostile.raw import BINARY, CLOSE, PING, TEXT, Raw, frame
from tests.hostile.target import Target

#: RFC 6455 section 7.4.1
PROTOCOL_ERROR, INVALID_DATA, TOO_BIG = 1002, 1007, 1009
_PING = b'{"type":"ping"}'
_LIMIT = 65536


def _nested(depth: int, what: bytes = b"[]") -> bytes:
    return b'{"type":"x.deep","data":' + what[:1] * depth + what[1:] * depth + b"}"


def _deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


#: what is sent, and the close codes that answer it
ILL_FORMED: dict[str, tuple[bytes, set[int]]] = {
    "not masked": (frame(TEXT, _PING, masked=False), {PROTOCOL_ERROR}),
    "compressed, though nobody agreed to that": (frame(TEXT, _deflated(_PING), rsv=4), {PROTOCOL_ERROR}),
    "compressed, 64 MiB in 64 KiB": (frame(TEXT, _deflated(b" " * (1 << 26)), rsv=4), {PROTOCOL_ERROR, TOO_BIG}),
    "reserved bit 2": (frame(TEXT, _PING, rsv=2), {PROTOCOL_ERROR}),
    "reserved bit 3": (frame(TEXT, _PING, rsv=1), {PROTOCOL_ERROR}),
    "reserved opcode 3": (frame(3, _PING), {PROTOCOL_ERROR}),
    "reserved opcode 11": (frame(11, _PING), {PROTOCOL_ERROR}),
    "continuation of nothing": (frame(0, _PING), {PROTOCOL_ERROR}),
    "text between two fragments": (frame(TEXT, b"{", fin=False) + frame(TEXT, _PING), {PROTOCOL_ERROR}),
    "ping in fragments": (frame(PING, b"a", fin=False), {PROTOCOL_ERROR}),
    "ping of 126 bytes": (frame(PING, b"p" * 126), {PROTOCOL_ERROR}),
    "close of one byte": (frame(CLOSE, b"\x03"), {PROTOCOL_ERROR}),
    "close with a code that is never sent": (frame(CLOSE, struct.pack("!H", 1006)), {PROTOCOL_ERROR}),
    "close with a reason that is no UTF-8": (frame(CLOSE, b"\x03\xe8\xff"), {INVALID_DATA, PROTOCOL_ERROR}),
    "a length of 2^63": (frame(TEXT, b"", claimed=1 << 63), {PROTOCOL_ERROR, TOO_BIG}),
    "a length of 1 TiB": (frame(TEXT, b"", claimed=1 << 40), {TOO_BIG, 4013}),
    "text of 1 MiB": (frame(TEXT, b"x" * (1 << 20)), {TOO_BIG, 4013}),
    "text one byte too long": (frame(TEXT, b'{"type":"x.a","data":"%b"}' % (b"x" * (_LIMIT - 23))), {4013}),
    "text too long by its fragments": (
        frame(TEXT, b"x" * _LIMIT, fin=False) + frame(0, b"x" * _LIMIT, fin=False) + frame(0, b"x" * _LIMIT),
        {TOO_BIG, 4013},
    ),
    "text that is no UTF-8": (frame(TEXT, b'{"type":"x.a","data":"\xff"}'), {INVALID_DATA, 4000}),
    "text that ends in half a letter": (frame(TEXT, b'{"type":"ping"}\xe2\x82'), {INVALID_DATA, 4000}),
    "text with half a surrogate": (frame(TEXT, b'{"type":"x.a","data":"\xed\xa0\x80"}'), {INVALID_DATA, 4000}),
    "binary": (frame(BINARY, _PING), {4000}),
    "JSON that is no object": (frame(TEXT, b'["ping"]'), {4000}),
    "JSON that ends early": (frame(TEXT, _PING[:-1]), {4000}),
    "JSON and more": (frame(TEXT, _PING * 2), {4000}),
    "JSON behind a byte order mark": (frame(TEXT, b"\xef\xbb\xbf" + _PING), {4000}),
    "an empty text": (frame(TEXT, b""), {4000}),
    "33 levels deep": (frame(TEXT, _nested(32)), {4000}),
    "30,000 levels deep": (frame(TEXT, _nested(30000)), {4000}),
    "30,000 brackets that never close": (frame(TEXT, b'{"type":"x.a","data":' + b"[" * 30000), {4000}),
    "6,000 objects deep": (frame(TEXT, b'{"type":"x.a","data":' + b'{"a":' * 6000 + b"1" + b"}" * 6001), {4000}),
    "NaN": (frame(TEXT, b'{"type":"x.a","data":NaN}'), {4000}),
    "Infinity": (frame(TEXT, b'{"type":"x.a","data":-Infinity}'), {4000}),
    "a control character in a string": (frame(TEXT, b'{"type":"x.a","data":"\n"}'), {4000}),
}


def _ends(sent: bytes, codes: set[int], target: Target) -> None:
    """Before hello and after it."""
    with target.entered() as guest:
        guest.raw.send(sent)
        assert guest.raw.closing().close_code in codes
    with Raw(target.place) as raw:
        assert raw.upgrade().status == 101
        raw.send(sent)
        assert raw.closing().close_code in codes | {4000}
        assert raw.rest() == b""


for _name, (_sent, _codes) in ILL_FORMED.items():
    attack(f"frame: {_name}")(partial(_ends, _sent, _codes))

#: what is sent, and the code of the error that answers it; the connection stays
REFUSED: dict[str, tuple[bytes, str]] = {
    "an ack of 5,000 digits": (b'{"type":"ping","id":"1","ack":' + b"9" * 5000 + b"}", "bad_frame"),
    "an ack of 400 digits": (b'{"type":"leave","id":"1","room":"nowhere","ack":' + b"9" * 400 + b"}", "room_not_found"),
    "an ack below zero": (b'{"type":"ping","id":"1","ack":-1}', "bad_frame"),
    "no type": (b'{"id":"1"}', "bad_frame"),
    "a type with a line feed": (b'{"type":"ping\\n","id":"1"}', "bad_frame"),
    "a type that only the server says": (b'{"type":"welcome","id":"1"}', "unsupported"),
    "a type with a slot of Python": (b'{"type":"__class__","id":"1"}', "bad_frame"),
    "hello once more": (b'{"type":"hello","id":"1","data":{"v":1}}', "bad_request"),
    "an id of 65 letters": (b'{"type":"ping","id":"' + b"i" * 65 + b'"}', "bad_frame"),
    "a room of 129 letters": (b'{"type":"join","id":"1","room":"' + b"r" * 129 + b'"}', "bad_frame"),
    "17 receivers": (json.dumps({"type": "offer", "room": "r", "to": ["m"] * 17}).encode(), "bad_frame"),
    "no receivers": (b'{"type":"offer","room":"r","to":[]}', "bad_frame"),
    "a receiver who is a number": (b'{"type":"message","room":"r","to":1}', "bad_frame"),
    "3,000 bytes of metadata": (
        json.dumps({"type": "join", "room": "r", "data": {"meta": "m" * 3000}}).encode(),
        "bad_request",
    ),
    "room meta, by who may not": (b'{"type":"meta.set","room":"r","data":{"room_meta":1}}', "room_not_found"),
    "a capacity of -1": (b'{"type":"join","room":"c","data":{"create":{"capacity":-1}}}', "bad_request"),
    "a budget of its own": (b'{"type":"join","room":"c","data":{"create":{"relay":{}}}}', "bad_request"),
}


def _is_refused(sent: bytes, code: str, target: Target) -> None:
    with target.entered() as guest:
        guest.raw.frame(TEXT, sent)
        while (heard := json.loads(guest.raw.read().payload))["type"] != "error":
            assert heard["type"] != "ok", heard
        assert heard["data"]["code"] == code, heard
        assert guest.is_well()


for _name, (_sent, _code) in REFUSED.items():
    attack(f"frame: {_name}")(partial(_is_refused, _sent, _code))


@attack("frame: what another key of the same name says")
def _twice(target: Target) -> None:
    """The last one counts, for the check as for the delivery, and the receiver is never shown two."""
    with target.entered(room="twice") as guest, target.entered(room="twice") as other:
        sent = '{"type":"x.a","type":"x.b","room":"twice","to":"m_nobody","to":"*","from":"m_1","from":"m_2","data":1}'
        guest.raw.frame(TEXT, sent.encode())
        heard = other.raw.hear("x.b")
        assert (heard["from"], heard["data"]) == (guest.member, 1)


@attack("frame: numbers beyond every type, in data")
def _numbers(target: Target) -> None:
    """They are the receiver's own business: what was said is what is heard."""
    with target.entered(room="numbers") as guest, target.entered(room="numbers") as other:
        data = b"[1e400,-0,0.1e-999," + b"7" * 5000 + b"]"
        guest.raw.frame(TEXT, b'{"type":"x.n","room":"numbers","to":"*","data":' + data + b"}")
        while b'"x.n"' not in (heard := other.raw.read().payload):
            pass
        assert data in heard


def _upgrades(change: Callable[[dict[str, str]], dict[str, str]], status: set[int], target: Target) -> None:
    with Raw(target.place) as raw:
        reply = raw.upgrade(**change({}))
        assert reply.status in status, reply
        assert raw.rest() == b""


for _name, _headers in {
    "version 8": {"Sec_WebSocket_Version": "8"},
    "no version": {"Sec_WebSocket_Version": ""},
    "no key": {"Sec_WebSocket_Key": ""},
    "a key of three bytes": {"Sec_WebSocket_Key": "YWJj"},
    "a key that is no base64": {"Sec_WebSocket_Key": "?" * 24},
}.items():
    attack(f"upgrade: {_name}")(partial(_upgrades, partial(dict, **_headers), {400, 426}))


@attack("upgrade: where there is none")
def _nowhere(target: Target) -> None:
    for path in ("/", "/v1/ws/", "/v1/admin/rooms", "/v1/sessions", "/peerjs/peerjs", "/v1/../v1/ws"):
        with Raw(target.place) as raw:
            assert raw.upgrade(path).code == "not_found", path


@attack("upgrade: to what we do not speak")
def _other(target: Target) -> None:
    """RFC 9110 section 7.8: a server may ignore it, and answers as if it had not been asked."""
    for protocol in ("h2c", "HTTP/2.0", "websocket2"):
        with Raw(target.place) as raw:
            assert raw.upgrade("/v1/info", Upgrade=protocol).status == 200


@attack("upgrade: offers to compress, with every trick")
def _deflate(target: Target) -> None:
    offers = "permessage-deflate; server_no_context_takeover; client_max_window_bits, x-webkit-deflate-frame"
    with Raw(target.place) as raw:
        reply = raw.upgrade(Sec_WebSocket_Extensions=offers)
        assert (reply.status, "sec-websocket-extensions" in reply.headers) == (101, False)
        raw.frame(TEXT, _deflated(b'{"type":"hello","data":{"v":1}}' + b" " * (1 << 24)), rsv=4)
        assert raw.closing().close_code in {PROTOCOL_ERROR, TOO_BIG}


@attack("upgrade: a subprotocol of the attacker's")
def _subprotocol(target: Target) -> None:
    """It is not repeated to the page."""
    with Raw(target.place) as raw:
        reply = raw.upgrade(Sec_WebSocket_Protocol="evil.v1, sig.v1\t, sig.v2")
        assert reply.headers.get("sec-websocket-protocol") in (None, "sig.v1")
