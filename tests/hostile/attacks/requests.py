"""Requests that mean one thing to a proxy and another to us, that look for files, or that are too much."""

import gzip
import json
from functools import partial

from tests.hostile.cases import attack
from tests.hostile.raw import Raw
from tests.hostile.target import OTHER_WRITER, READER, WRITER, Target
from tests.processes import JOIN_KEY

_INNER = "GET /v1/admin/rooms HTTP/1.1\r\nHost: {0}\r\n\r\n"

_POST, _GET = "POST /v1/ice HTTP/1.1\r\nHost: {0}\r\n", "GET /v1/info HTTP/1.1\r\nHost: {0}\r\n"
#: {0} is our authority; each is answered by 400 and the end, so that nothing behind it is ever read as a request
SMUGGLED = {
    "two lengths": _POST + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}" + _INNER,
    "two lengths in one line": _POST + "Content-Length: 2, 3\r\n\r\n{{}}" + _INNER,
    "a length and chunks": _POST + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + _INNER,
    "chunks and a length": _POST + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + _INNER,
    "chunks that are called otherwise": _POST + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks twice": _POST + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + _INNER,
    "chunks in gzip": _POST + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": _POST + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a length with a sign": _POST + "Content-Length: +2\r\n\r\n{{}}",
    "a length below zero": _POST + "Content-Length: -1\r\n\r\n",
    "a length in hexadecimal digits": _POST + "Content-Length: 0x2\r\n\r\n{{}}",
    "a length of 400 digits": _POST + "Content-Length: " + "9" * 400 + "\r\n\r\n",
    "a chunk of a size that is none": _POST + "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "a chunk of 2^80 bytes": _POST + "Transfer-Encoding: chunked\r\n\r\n100000000000000000000\r\n",
    "a carriage return in a header": _GET + "X: a\rTransfer-Encoding: chunked\r\n\r\n",
    "a zero byte in a header": _GET + "X: a\0b\r\n\r\n",
    "a header without a name": _GET + ": a\r\n\r\n",
    "a header that is none": _GET + "nonsense\r\n\r\n",
    "a version of the future": "GET /v1/info HTTP/9.9\r\nHost: {0}\r\n\r\n",
    "no version": "GET /v1/info\r\n\r\n",
    "a space in the path": "GET /v1/info x HTTP/1.1\r\nHost: {0}\r\n\r\n",
    "a tab behind the method": "GET\t/v1/info HTTP/1.1\r\nHost: {0}\r\n\r\n",
    "the preface of HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "17,000 bytes of one header": _GET + "X: " + "x" * 17000 + "\r\n\r\n",
    "3,000 headers": _GET + "X: x\r\n" * 3000 + "\r\n",
    "a path of 17,000 letters": "GET /" + "x" * 17000 + " HTTP/1.1\r\nHost: {0}\r\n\r\n",
}


def _malformed(sent: str, target: Target) -> None:
    with Raw(target.place) as raw:
        raw.send(sent.format(target.place).encode("latin-1"))
        reply = raw.reply()
        assert (reply.status, reply.code) == (400, "bad_request"), reply
        assert raw.rest() == b"", "what was behind it was taken for a request"


for _name, _sent in SMUGGLED.items():
    attack(f"request: {_name}")(partial(_malformed, _sent))

PATHS = (
    "/../../../../etc/passwd", "/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2f..%2fetc%2fpasswd", "//etc/passwd",
    "/%2fetc%2fpasswd", "/..\\..\\etc\\passwd", "/..%5c..%5cetc%5cpasswd", "/test/../../app.py", "/../app.py",
    "/%c0%ae%c0%ae/app.py", "/%252e%252e/app.py", "/page.js%00.html", "/%00", "/%ff%fe", "/.git/config",
    "/" + "a" * 300, "/" + "a/" * 2000, "/con", "/~root", "/v1/sessions/../../app.py",
    "/v1/admin/../info", "/v1/ICE", "/peerjs/../v1/info", "/;/v1/info", "/v1/info;x", "/v1//ice", "http://evil.example/v1/info",
)  # fmt: skip


@attack("path: those that lead out of the house, or nowhere")
def _paths(target: Target) -> None:
    """What is not there looks alike, however it is asked for."""
    absent = target.ask("GET", "/nothing")
    assert absent.code == "not_found"
    for path in PATHS:
        reply = target.ask("GET", path)
        assert (reply.status, reply.code) in {(404, "not_found"), (401, "unauthorized")}, (path, reply)
        assert b"root:" not in reply.body
        if reply.status == 404 and "sessions" not in path:
            assert reply.body == absent.body, path


@attack("method: those that nobody needs")
def _methods(target: Target) -> None:
    for method in ("TRACE", "PUT", "PATCH", "PROPFIND", "get", "DEBUG", "M" * 60, "CONNECT"):
        for path in ("/v1/ice", "/v1/sessions", "/", "/v1/info"):
            reply = target.ask(method, path)
            assert (reply.status, reply.code) == (405, "method_not_allowed"), (method, path, reply)
            assert method not in reply.headers["allow"].split(", ")
            assert method.encode() not in reply.body or path == "/v1/sessions"


#: to whom, and what; each is answered by 400, 401, 413 or 422 of ours, and none by a stack
BODIES = {
    "brackets, 30,000 deep": b"[" * 30000,
    "objects, 8,000 deep": b'{"a":' * 8000,
    "a number of 5,000 digits": b'{"v":' + b"9" * 5000 + b"}",
    "no UTF-8": b'{"v":1,"token":"\xff\xfe"}',
    "UTF-16": '{"v":1}'.encode("utf-16"),
    "NaN": b'{"v":NaN}',
    "a lone surrogate": b'{"v":1,"token":"\\ud800"}',
    "a zero byte": b'{"v":1,"token":"\\u0000"}',
    "nothing": b"",
    "a gzip bomb": gzip.compress(bytes(1 << 24)),
    "a form": b"v=1&token=x",
    "XML with an entity of ours": b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
}
_PLACES = ("/v1/sessions", "/v1/sessions/nobody/messages", "/v1/ice", "/v1/admin/rooms", "/v1/admin/rooms/r/kick")


def _is_refused(body: bytes, target: Target) -> None:
    for path in _PLACES:
        key = WRITER if "admin" in path else JOIN_KEY
        for encoding in ("", "gzip"):
            headers = {
                "Authorization": f"Bearer {key}",
                "Content_Encoding": encoding,
                "Content_Type": "application/json",
            }
            reply = target.ask("POST", path, body, **headers)
            expected = {"bad_request", "bad_frame", "unauthorized", "session_expired", "peer_not_found"}
            if reply.status == 200 and not body:
                assert path == "/v1/ice"  # It may be left out there.
                continue
            assert reply.code in expected, (path, reply)
            assert b"Traceback" not in reply.body
            assert b"root:" not in reply.body


for _name, _body in BODIES.items():
    attack(f"body: {_name}")(partial(_is_refused, _body))


@attack("body: larger than it may be")
def _large(target: Target) -> None:
    """It is refused by what it declares, before any of it is sent; 100 Continue is not said."""
    for path, size in (("/v1/ice", 65537), ("/v1/sessions", 131073), ("/v1/admin/rooms", 10**12), ("/nothing", 10**15)):
        with Raw(target.place) as raw:
            raw.send(raw.head("POST", path, {"Content-Length": str(size), "Expect": "100-continue"}))
            first = raw.reply()
            assert (first.status, first.code) == (413, "frame_too_large"), (path, first)


@attack("body: larger than it may be, in chunks that say nothing of it")
def _chunked(target: Target) -> None:
    for path in ("/v1/ice", "/v1/sessions", "/v1/admin/rooms"):
        with Raw(target.place) as raw:
            headers = {"Transfer-Encoding": "chunked", "Authorization": f"Bearer {WRITER}"}
            raw.send(raw.head("POST", path, headers) + (b"4000\r\n" + b" " * 0x4000 + b"\r\n") * 9)
            reply = raw.reply()
            assert reply.code == "frame_too_large", (path, reply)


@attack("body: extensions of chunks, and trailers")
def _extensions(target: Target) -> None:
    """They are read and forgotten; an endless one is not read to its end."""
    head = {"Transfer-Encoding": "chunked", "Authorization": f"Bearer {JOIN_KEY}"}
    with Raw(target.place) as raw:
        raw.send(raw.head("POST", "/v1/ice", head) + b"2;a=b\r\n{}\r\n0\r\nAuthorization: x\r\n\r\n")
        assert raw.reply().code == "bad_request"
    with Raw(target.place) as raw:
        raw.send(raw.head("POST", "/v1/ice", head) + b"2;" + b"a" * 20000)
        assert raw.reply().code == "bad_request"


@attack("query: too many parameters, and numbers that are none")
def _queries(target: Target) -> None:
    opened = target.ask("POST", "/v1/sessions", json.dumps({"v": 1, "token": JOIN_KEY}).encode()).json()
    events, key = f"/v1/sessions/{opened['sid']}/events", f"Bearer {opened['key']}"
    for query in (
        "wait=-1", "wait=1e9", "wait=nan", "wait=31", "wait=%D9%A1", "max=-1", "max=99999", "max=x",
        "&".join(f"a{n}=1" for n in range(20)),
    ):  # fmt: skip
        assert target.ask("GET", f"{events}?{query}", Authorization=key).code == "bad_request", query
    for after in (
        "x",
        "-1",
        "1.",
        f"{opened['epoch']}.{10**20}",
        f"{opened['epoch']}.9999",
        "%00.1",
        "evil.1",
        "a" * 9000,
    ):
        reply = target.ask("GET", f"{events}?after={after}&wait=0", Authorization=key)
        assert reply.status == 200, (after, reply)
        assert '"resumed":false' in reply.body.decode(), "a position that never was is no position"


@attack("admin: keys that are none, or for something else")
def _keys(target: Target) -> None:
    names: tuple[str, ...] = (
        "",
        "Bearer",
        f"Basic {WRITER}",
        WRITER,
        f"Bearer {WRITER}x",
        f"Bearer {WRITER[:-1]}",
        f"Bearer {WRITER.upper()}",
    )
    names += (f"Bearer {JOIN_KEY}", f"Bearer {target.token()}", f"Bearer {WRITER} {WRITER}", f"Bearer {WRITER},")
    refusals = {
        target.ask(method, path, b"{}", Authorization=name).body
        for name in names
        for method, path in (("GET", "/v1/admin/rooms"), ("POST", "/v1/admin/drain"), ("GET", "/v1/admin/rooms/r"))
    }
    assert len(refusals) == 1, refusals
    for method, path in (("POST", "/v1/admin/rooms"), ("POST", "/v1/admin/drain"), ("DELETE", "/v1/admin/sessions/s")):
        reply = target.ask(method, path, b"{}", Authorization=f"Bearer {READER}")
        assert (reply.status, reply.code) == (403, "forbidden"), reply


@attack("admin: an Idempotency-Key with another body, and of another back end")
def _repeated(target: Target) -> None:
    def create(name: str, key: str, by: str = WRITER) -> tuple[int, bytes]:
        body = json.dumps({"name": name}).encode()
        headers = {"Authorization": f"Bearer {by}", "Idempotency_Key": key, "Content_Type": "application/json"}
        reply = target.ask("POST", "/v1/admin/rooms", body, **headers)
        return reply.status, reply.body

    first = create("repeated", "k1")
    assert first[0] == 201, first
    assert create("repeated", "k1") == first
    assert create("another", "k1")[0] == 409
    assert create("repeated", "k1", OTHER_WRITER)[0] == 409, "the other hears that the room is there, not the answer"
    assert b"there is such a room" in create("repeated", "k1", OTHER_WRITER)[1]
    for key in ("", "k" * 129, "k\x7f"):
        assert create("third", key)[0] == (201 if not key else 400)
