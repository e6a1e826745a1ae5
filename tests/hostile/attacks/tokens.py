"""Tokens that nobody issued: each is refused at every door as any other wrong word would be."""

import base64
import hashlib
import hmac
import json
import socket
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.hostile.cases import attack
from tests.hostile.raw import Frame, Raw, Reply
from tests.hostile.target import PEERJS_KEY, READER, SHARED_KEY, Target
from tests.processes import JOIN_KEY, SECRET

HS: dict[str, Any] = {"alg": "HS256", "typ": "JWT", "kid": "shared"}
#: what a token that is no token at all is answered with
_NONSENSE = "not.a.token"


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _assemble(header: bytes, payload: bytes, key: str | bytes = SHARED_KEY) -> str:
    signed = f"{_b64(header)}.{_b64(payload)}"
    secret = key.encode() if isinstance(key, str) else key
    return f"{signed}.{_b64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def _with_header(target: Target, key: str | bytes = SHARED_KEY, **header: Any) -> str:
    """Good claims, rightly signed by `key`, below another header."""
    return _assemble(_json(HS | header), _json(target.claims()), key)


def _with_payload(_: Target, payload: bytes) -> str:
    """Signed with the very key: whoever has that and writes nonsense is refused as well."""
    return _assemble(_json(HS), payload)


def _with_claims(target: Target, **changed: Any) -> str:
    return target.token(**changed)


def _unsigned(target: Target, algorithm: str) -> str:
    return _with_header(target, alg=algorithm).rpartition(".")[0] + "."


def _by_stranger(target: Target, **header: Any) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    told = {name: public if value is ... else value for name, value in header.items()}
    return jwt.encode(target.claims(), key, "RS256", {"kid": "rsa"} | told)


def _edited(target: Target, edit: Callable[[str, str, str], str]) -> str:
    return edit(*target.token().split("."))


def _encrypted(target: Target) -> str:
    """A JWE of five parts, whose payload is the beginning of what unpacks to 4 MiB."""
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = bomb.compress(bytes(1 << 22)) + bomb.flush()
    header = _json({"alg": "dir", "enc": "A256GCM", "zip": "DEF", "kid": "shared"})
    return ".".join([_b64(header), "", _b64(bytes(12)), _b64(packed[:4000]), _b64(bytes(16))])


def _in_the_past(seconds: int, target: Target) -> Any:
    return target.claims()["iat"] + seconds


FORGERIES: dict[str, Callable[[Target], str]] = {
    "alg none": lambda t: _unsigned(t, "none"),
    "alg nOnE": lambda t: _unsigned(t, "nOnE"),
    "alg none, with a signature": lambda t: _with_header(t, alg="none"),
    "alg left out": lambda t: _assemble(b'{"kid":"shared"}', _json(t.claims())),
    "alg that is a list": lambda t: _with_header(t, alg=["HS256"]),
    "alg twice": lambda t: _assemble(b'{"alg":"HS256","kid":"shared","alg":"none"}', _json(t.claims())),
    "HS256 by the public key of RS256": lambda t: _with_header(t, t.public_pem, kid="rsa"),
    "HS512 by a key for HS256": lambda t: jwt.encode(t.claims(), SHARED_KEY * 2, "HS512", {"kid": "shared"}),
    "RS256 by a stranger": _by_stranger,
    "RS256 under the name of the shared key": lambda t: jwt.encode(t.claims(), t.signer, "RS256", {"kid": "shared"}),
    "kid of nobody": lambda t: _with_header(t, kid="nobody"),
    "kid of another key": lambda t: _with_header(t, kid="rsa"),
    "kid that is a path": lambda t: _with_header(t, "", kid="../../../dev/null"),
    "kid that is SQL": lambda t: _with_header(t, "x", kid="' UNION SELECT 'x' --"),
    "kid that is a command": lambda t: _with_header(t, kid="shared|touch /tmp/owned"),
    "kid that is a number": lambda t: _with_header(t, kid=1),
    "kid that is a list": lambda t: _with_header(t, kid=["shared"]),
    "kid that is null": lambda t: _with_header(t, kid=None),
    "no kid, where there are two keys": lambda t: jwt.encode(t.claims(), SHARED_KEY, "HS256"),
    "jwk that is the stranger's own key": lambda t: _by_stranger(t, jwk=...),
    "x5u to the stranger's certificate": lambda t: _by_stranger(t, x5u="http://127.0.0.1:1/cert.pem"),
    "crit of an unknown extension": lambda t: _with_header(t, crit=["unheard_of"], unheard_of=True),
    "crit that is empty": lambda t: _with_header(t, crit=[]),
    "payload that is not encoded (b64)": lambda t: _with_header(t, b64=False, crit=["b64"]),
    "exp left out": partial(_with_claims, exp=None),
    "exp that is text": partial(_with_claims, exp="tomorrow"),
    "exp that is a list": partial(_with_claims, exp=[9999999999]),
    "exp beyond any number": lambda t: _with_payload(t, _json(t.claims() | {"exp": 1})[:-1] + b"e999}"),
    "exp Infinity": lambda t: _with_payload(t, _json(t.claims() | {"exp": float("inf")})),
    "exp NaN": lambda t: _with_payload(t, _json(t.claims() | {"exp": float("nan")})),
    "nbf in an hour": lambda t: t.token(nbf=_in_the_past(3600, t)),
    "iat in an hour": lambda t: t.token(iat=_in_the_past(3600, t)),
    "nbf that is text": partial(_with_claims, nbf="never"),
    "aud of another service": partial(_with_claims, aud="billing"),
    "aud of others, without us": partial(_with_claims, aud=["billing", "signal2"]),
    "aud left out": partial(_with_claims, aud=None),
    "iss of another": partial(_with_claims, iss="https://issuer.example.evil"),
    "iss left out": partial(_with_claims, iss=None),
    "sub left out": partial(_with_claims, sub=None),
    "sub that is empty": partial(_with_claims, sub=""),
    "sub that is a number": partial(_with_claims, sub=7),
    "sub of 300 letters": partial(_with_claims, sub="m" * 300),
    "sig that is a list": partial(_with_claims, sig=["*"]),
    "rooms that are no names": partial(_with_claims, sig={"rooms": [1]}),
    "signature cut short": lambda t: t.token()[:-4],
    "signature left out": lambda t: t.token().rpartition(".")[0],
    "signature that is empty": lambda t: t.token().rpartition(".")[0] + ".",
    "signature of another token": lambda t: _edited(t, lambda h, p, s: f"{h}.{p}.{t.token('ann').rpartition('.')[2]}"),
    "claims changed after signing": lambda t: _edited(t, lambda h, p, s: f"{h}.{_b64(_json(t.claims('ann')))}.{s}"),
    "a part too many": lambda t: t.token() + ".AAAA",
    "JWE that unpacks to a thousand times as much": _encrypted,
    "claims that are no JSON": lambda t: _with_payload(t, b"exp=9999999999"),
    "claims that are no UTF-8": lambda t: _with_payload(t, _json(t.claims()).replace(b"mallory", b"\xff\xfe")),
    "claims that are a list": lambda t: _with_payload(t, b"[]"),
    "claims 4,000 levels deep": lambda t: _with_payload(t, b'{"a":' + b"[" * 2500 + b"]" * 2500 + b"}"),
    "header that is no JSON": lambda t: _assemble(b"alg: HS256", _json(t.claims())),
    "header that is no UTF-8": lambda t: _assemble(b'{"alg":"HS256","kid":"\xff"}', _json(t.claims())),
    "header that is a list": lambda t: _assemble(b'["HS256"]', _json(t.claims())),
    "header 1,000 levels deep": lambda t: _assemble(b"[" * 1000 + b"]" * 1000, b"{}"),
    "a number of 5,000 digits": lambda t: _with_payload(t, b'{"exp":' + b"9" * 5000 + b"}"),
    "half a join key": lambda t: JOIN_KEY[: len(JOIN_KEY) // 2],
    "a join key and a bit": lambda t: JOIN_KEY + "x",
    "a join key in capitals": lambda t: JOIN_KEY.upper(),
    "the API key of a back end": lambda t: READER,
    "the secret of the relay": lambda t: SECRET,
    "the name of the key of PeerJS": lambda t: PEERJS_KEY,
    "nothing but dots": lambda t: "..",
}  # fmt: skip


def _by_http(target: Target, token: str) -> Reply:
    return target.ask("POST", "/v1/sessions", _json({"v": 1, "token": token}))


def _for_ice(target: Target, token: str) -> Reply:
    return target.ask("GET", "/v1/ice", Authorization=f"Bearer {token}")


def _by_websocket(target: Target, token: str) -> Frame:
    with Raw(target.place) as raw:
        assert raw.upgrade().status == 101
        raw.say("hello", data={"v": 1, "token": token})
        return raw.read()


def _by_peerjs(target: Target, token: str) -> tuple[Frame, Frame]:
    with Raw(target.place) as raw:
        query = urlencode({"key": PEERJS_KEY, "id": "mallory", "token": token})
        assert raw.upgrade(f"/peerjs?{query}").status == 101
        return raw.read(), raw.read()


def _inside(target: Target, token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    with target.entered() as guest:
        return guest.refusal("token", data={"token": token}), guest.refusal("join", room="r", data={"token": token})


DOORS: dict[str, Callable[[Target, str], object]] = {
    "POST /v1/sessions": _by_http,
    "GET /v1/ice": _for_ice,
    "GET /v1/ws": _by_websocket,
    "GET /peerjs": _by_peerjs,
    "token and join": _inside,
}


def _refused_at_every_door(forge: Callable[[Target], str], target: Target) -> None:
    forged = forge(target)
    for name, knock in DOORS.items():
        assert knock(target, forged) == knock(target, _NONSENSE), f"{name} tells this from nonsense"


for _name, _forge in FORGERIES.items():
    attack(f"token: {_name}")(partial(_refused_at_every_door, _forge))


@attack("token: nonsense")
def _nonsense(target: Target) -> None:
    """What the others are compared with is the refusal that is documented."""
    opened, given = _by_http(target, _NONSENSE), _for_ice(target, _NONSENSE)
    assert opened.code == given.code == "unauthorized"
    assert (opened.status, given.headers["www-authenticate"]) == (401, "Bearer")
    assert _by_websocket(target, _NONSENSE).close_code == 4001
    complaint, closing = _by_peerjs(target, _NONSENSE)
    assert (b'"ERROR"' in complaint.payload, closing.close_code) == (True, 4001)
    assert [refusal["code"] for refusal in _inside(target, _NONSENSE)] == ["unauthorized"] * 2


@attack("token: one that has expired")
def _expired(target: Target) -> None:
    """It was good, and its owner is told what to do about it."""
    old = target.token(exp=target.claims()["iat"] - 1)
    before_time = target.token(exp=-1)
    for token in (old, before_time):
        assert _by_http(target, token).code == _for_ice(target, token).code == "token_expired"
        assert _by_websocket(target, token).close_code == 4106


@attack("token: longer than any")
def _long(target: Target) -> None:
    for token in ("a" * 12000, target.token(note="x" * 9000)):
        assert _by_http(target, token).code == "bad_request"
        assert _for_ice(target, token).code == "unauthorized"
        assert _by_websocket(target, token).close_code == 4000
    assert _for_ice(target, "a" * 60000).code == "bad_request"


@attack("token: an exp in ten thousand years")
def _eternal(target: Target) -> None:
    """Its issuer may say so; no timer may stumble over it."""
    with target.entered(target.token(exp=3e11)) as guest:
        assert guest.is_well()


@attack("token: jku and x5u to a server of the attacker")
def _fetched(target: Target) -> None:
    """A token does not make us ask anybody anything."""
    with socket.create_server((target.place.host, 0)) as canary:
        canary.setblocking(False)
        url = f"http://{target.place.host}:{canary.getsockname()[1]}/keys"
        headers: list[dict[str, Any]] = [{"jku": url}, {"x5u": url}, {"kid": url}]
        for header in headers:
            _refused_at_every_door(partial(_by_stranger, **header), target)
        try:
            canary.accept()
        except BlockingIOError:
            return
    raise AssertionError("somebody came to fetch the attacker's key")
