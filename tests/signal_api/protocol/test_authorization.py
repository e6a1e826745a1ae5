"""Who is let in: forged tokens all look alike, good ones say what their bearer may do."""

import base64
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from fairlead.clock import Now
from signal_api.protocol.authorization import (
    GUEST,
    MAX_TOKEN,
    Ability,
    Denial,
    Doorkeeper,
    Flaw,
    Grants,
    TokenRules,
    VerifyingKey,
    not_accepted,
)
from signal_api.protocol.refusals import ErrorCode, Refusal

NOW = Now(monotonic=50.0, wall=1_763_795_100.0)
SECRET = "a shared secret of thirty-two bytes"
JOIN_KEY = "join-key-0123456789"

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()


def _pem(key: Any) -> str:
    public = key.public_key()
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    text: bytes = public.public_bytes(*form)
    return text.decode()


KEYS = {
    "shared": VerifyingKey.read("shared", "HS256", SECRET),
    "rsa": VerifyingKey.read("rsa", "RS256", _pem(RSA_KEY)),
    "ec": VerifyingKey.read("ec", "ES256", _pem(EC_KEY)),
    "ed": VerifyingKey.read("ed", "EdDSA", _pem(ED_KEY)),
}
SIGNERS: dict[str, Any] = {
    "shared": (SECRET, "HS256"),
    "rsa": (RSA_KEY, "RS256"),
    "ec": (EC_KEY, "ES256"),
    "ed": (ED_KEY, "EdDSA"),
}
DOOR = Doorkeeper(TokenRules("https://issuer.example", "signal", KEYS), JOIN_KEY)
CLAIMS: dict[str, Any] = {
    "iss": "https://issuer.example",
    "aud": "signal",
    "sub": "alice",
    "exp": NOW.wall + 60,
    "sig": {"rooms": ["r1", "team-*"], "can": ["join", "private"], "role": "host"},
}


def _token(key: str = "shared", headers: dict[str, Any] | None = None, **claims: Any) -> str:
    merged = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    secret, algorithm = SIGNERS[key]
    # Not jwt.encode, which would not write what is wrong.
    return jwt.PyJWS().encode(json.dumps(merged).encode(), secret, algorithm, {"kid": key} | (headers or {}))


def _admit(token: str | None) -> Grants | Refusal:
    return DOOR.admit(token, False, NOW)


@pytest.mark.parametrize("key", SIGNERS)
def test_a_good_token_says_what_its_bearer_may_do(key: str) -> None:
    grants = _admit(_token(key))
    assert isinstance(grants, Grants)
    assert (grants.user, grants.role, grants.expires) == ("alice", "host", NOW.wall + 60)
    assert grants.allow(Ability.JOIN, "r1")
    assert grants.allow(Ability.PRIVATE, "team-7")
    assert not grants.allow(Ability.JOIN, "r10")
    assert not grants.allow(Ability.JOIN, "tea")
    assert not grants.allow(Ability.PUBLISH, "r1")
    assert not grants.allow(Ability.ICE)


def test_without_the_claim_sig_there_is_no_room() -> None:
    grants = _admit(_token(sig=None))
    assert isinstance(grants, Grants)
    assert grants.allow(Ability.ICE)
    assert not grants.allow(Ability.JOIN, "r1")


def test_a_star_alone_is_every_room_and_one_inside_is_a_letter() -> None:
    everywhere = Grants("u", ("*",))
    assert everywhere.allow(Ability.JOIN, "anything")
    inside = Grants("u", ("a*b",))
    assert not inside.allow(Ability.JOIN, "axb")


def test_what_grants_no_room_lies_within_nobodys() -> None:
    assert Grants("ann", ("r", "team-1")).lie_within(("r", "team-*"))
    assert not Grants("ann", ("r", "*")).lie_within(("r", "team-*"))
    assert not Grants("ann", ()).lie_within(("*",))


def test_audiences_may_be_many() -> None:
    assert isinstance(_admit(_token(aud=["other", "signal"])), Grants)


def test_one_key_needs_no_kid_and_several_do() -> None:
    bare = jwt.encode(CLAIMS, SECRET, "HS256")
    alone = Doorkeeper(TokenRules("https://issuer.example", "signal", {"shared": KEYS["shared"]}))
    assert isinstance(alone.admit(bare, False, NOW), Grants)
    assert isinstance(_admit(bare), Refusal)


def _unsigned(header: dict[str, Any], signature: str = "") -> str:
    parts = (json.dumps(part).encode() for part in (header, CLAIMS))
    encoded = [base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, signature])


def _confused() -> str:
    """Signed by HMAC with the public key that everybody knows, as if it were a shared secret."""
    header, claims = ({"alg": "HS256", "typ": "JWT", "kid": "rsa"}, CLAIMS)
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signed = b".".join(parts)
    mac = hmac.digest(_pem(RSA_KEY).encode(), signed, "sha256")
    signature = base64.urlsafe_b64encode(mac).rstrip(b"=")
    return (signed + b"." + signature).decode()


FORGED = {
    "alg none": _unsigned({"alg": "none", "kid": "shared"}),
    "alg None": _unsigned({"alg": "None", "kid": "shared"}),
    "alg missing": _unsigned({"kid": "shared"}),
    "alg empty": _unsigned({"alg": "", "kid": "shared"}),
    "alg confusion": _confused(),
    "alg of another key": jwt.encode(CLAIMS, SECRET, "HS256", {"kid": "ec"}),
    "another alg of the key": jwt.encode(CLAIMS, SECRET * 2, "HS512", {"kid": "shared"}),
    "another secret": jwt.encode(CLAIMS, SECRET[::-1], "HS256", {"kid": "shared"}),
    "another rsa key": jwt.encode(CLAIMS, rsa.generate_private_key(65537, 2048), "RS256", {"kid": "rsa"}),
    "kid unknown": _token(headers={"kid": "nobody"}),
    "kid path": _token(headers={"kid": "../../shared"}),
    "kid sql": _token(headers={"kid": "' OR 1=1 --"}),
    "kid number": _unsigned({"alg": "HS256", "kid": 0}, "AAAA"),
    "kid list": _unsigned({"alg": "HS256", "kid": ["shared"]}, "AAAA"),
    "crit": _token(headers={"crit": ["exp"], "exp": 1}),
    "b64": _token(headers={"crit": ["b64"], "b64": False}),
    "jwk inside": jwt.encode(CLAIMS, SECRET[::-1], "HS256", {"kid": "x", "jwk": {"kty": "oct", "k": "AAAA"}}),
    "iss wrong": _token(iss="https://evil.example"),
    "iss prefix": _token(iss="https://issuer.example.evil"),
    "iss list": _token(iss=["https://issuer.example"]),
    "iss missing": _token(iss=None),
    "aud wrong": _token(aud="turn"),
    "aud missing": _token(aud=None),
    "sub missing": _token(sub=None),
    "sub empty": _token(sub=""),
    "sub number": _token(sub=7),
    "sub long": _token(sub="s" * 257),
    "sub long in bytes": _token(sub="ключ" * 33),
    "exp missing": _token(exp=None),
    "exp text": _token(exp="1900000000"),
    "exp true": _token(exp=True),
    "exp list": _token(exp=[NOW.wall + 60]),
    "nbf future": _token(nbf=NOW.wall + 600),
    "iat future": _token(iat=NOW.wall + 600),
    "sig text": _token(sig="everything"),
    "rooms text": _token(sig={"rooms": "*"}),
    "claims list": jwt.PyJWS().encode(b"[]", SECRET, "HS256", {"kid": "shared"}),
    "claims deep": jwt.PyJWS().encode(b"[" * 2000, SECRET, "HS256", {"kid": "shared"}),
    "claims broken": jwt.PyJWS().encode(b'{"iss":', SECRET, "HS256", {"kid": "shared"}),
    "claims latin": jwt.PyJWS().encode(b'{"iss":"\xff"}', SECRET, "HS256", {"kid": "shared"}),
    "no signature": _token().rpartition(".")[0] + ".",
    "one bit": _token()[:-2] + ("A" if _token()[-2] != "A" else "B") + _token()[-1],
    "four parts": _token() + ".x",
    "two parts": "a.b",
    "empty": "",
    "no ascii": "ключ",
    "long": "a" * (MAX_TOKEN + 1),
    "join key prefix": JOIN_KEY[:-1],
    "join key twice": JOIN_KEY * 2,
}


@pytest.mark.parametrize("what", FORGED)
def test_forged_tokens_are_refused_and_look_alike(what: str) -> None:
    denial = _admit(FORGED[what])
    assert isinstance(denial, Denial)
    assert (denial.code, denial.message) == (ErrorCode.UNAUTHORIZED, "the token is not accepted")
    assert denial == not_accepted(Flaw.REVOKED), "whatever the flaw is"


@pytest.mark.parametrize(
    ("flaw", "tokens"),
    [
        (
            Flaw.MALFORMED,
            ["kid list", "crit", "two parts", "empty", "no ascii", "long", "join key twice"],
        ),
        (Flaw.UNKNOWN_KEY, ["alg none", "alg missing", "alg of another key", "kid unknown", "kid sql", "jwk inside"]),
        (Flaw.SIGNATURE, ["another secret", "another rsa key", "one bit", "no signature"]),
        (Flaw.CLAIMS, ["iss missing", "iss list", "sub empty", "sub long", "exp text", "claims deep", "claims latin"]),
        (Flaw.ISSUER, ["iss wrong"]),
        (Flaw.AUDIENCE, ["aud wrong"]),
        (Flaw.NOT_YET, ["nbf future", "iat future"]),
    ],
)
def test_the_operator_can_know_why(flaw: Flaw, tokens: list[str]) -> None:
    assert {what: _flaw(FORGED[what]) for what in tokens} == dict.fromkeys(tokens, flaw)
    assert _flaw(_token(exp=0)) is Flaw.EXPIRED
    assert _flaw(None) is Flaw.MISSING


def _flaw(token: str | None) -> Flaw | None:
    denial = _admit(token)
    return denial.flaw if isinstance(denial, Denial) else None


@pytest.mark.parametrize("exp", [NOW.wall, NOW.wall - 1, 0, -1])
def test_a_token_that_is_over_says_so(exp: float) -> None:
    refusal = _admit(_token(exp=exp))
    assert isinstance(refusal, Refusal)
    assert refusal.code is ErrorCode.TOKEN_EXPIRED


def test_an_expired_token_that_was_never_good_is_only_not_accepted() -> None:
    refusal = _admit(_token(exp=0, iss="https://evil.example"))
    assert isinstance(refusal, Refusal)
    assert refusal.code is ErrorCode.UNAUTHORIZED


def test_clocks_may_differ_a_little() -> None:
    assert isinstance(_admit(_token(nbf=NOW.wall + 30, iat=NOW.wall + 30)), Grants)


def test_the_join_key_makes_a_guest() -> None:
    assert _admit(JOIN_KEY) == GUEST
    assert GUEST.user is None
    assert GUEST.allow(Ability.CREATE, "any room")
    assert isinstance(Doorkeeper(None, None).admit("", False, NOW), Refusal)


def test_without_a_token_only_the_demo_lets_in_and_only_those_who_sit_here() -> None:
    demo = Doorkeeper(open_locally=True)
    assert demo.admit(None, True, NOW) == GUEST
    for door, is_local in ((demo, False), (Doorkeeper(), True), (DOOR, True)):
        refusal = door.admit(None, is_local, NOW)
        assert isinstance(refusal, Refusal)
        assert refusal.code is ErrorCode.UNAUTHORIZED
    assert isinstance(demo.admit("wrong", True, NOW), Refusal), "a wrong key is not the same as none"


@pytest.mark.parametrize(
    ("algorithm", "text", "remedy"),
    [
        ("HS256", "short", "at least 32 bytes"),
        ("HS512", SECRET, "at least 64 bytes"),
        ("HS256", _pem(RSA_KEY), "shared secret"),
        ("RS256", SECRET, "public key in PEM"),
        ("ES256", _pem(RSA_KEY), "public key in PEM"),
        ("EdDSA", "", "public key in PEM"),
    ],
)
def test_a_key_that_does_not_fit_its_algorithm(algorithm: str, text: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        VerifyingKey.read("k", algorithm, text)


def test_a_private_key_is_sent_back() -> None:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with pytest.raises(ValueError, match="private"):
        VerifyingKey.read("k", "RS256", RSA_KEY.private_bytes(*form).decode())


class _Counted(ed25519.Ed25519PublicKey):
    """A public key that counts the signatures which it was asked about."""

    def __init__(self, key: ed25519.Ed25519PublicKey) -> None:
        self._key = key
        self.asked = 0

    def verify(self, signature: Any, data: Any) -> None:
        self.asked += 1
        self._key.verify(signature, data)

    def public_bytes(self, encoding: Any, format: Any) -> bytes:  # noqa: A002 - the library's name
        return self._key.public_bytes(encoding, format)

    def public_bytes_raw(self) -> bytes:
        return self._key.public_bytes_raw()

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __copy__(self) -> "_Counted":
        return self

    def __deepcopy__(self, memo: Any) -> "_Counted":
        return self


@pytest.mark.parametrize("kid", ["first", "second", "hmac", "unknown", None])
def test_a_signature_is_checked_whatever_key_is_named(kid: str | None) -> None:
    """Or the time of a refusal would tell which names are known."""
    private = ed25519.Ed25519PrivateKey.generate()
    first, second = (_Counted(ed25519.Ed25519PrivateKey.generate().public_key()) for _ in range(2))
    keys = {
        "hmac": VerifyingKey("hmac", "HS256", b"k" * 32),
        "first": VerifyingKey("first", "EdDSA", first),
        "second": VerifyingKey("second", "EdDSA", second),
    }
    doorkeeper = Doorkeeper(TokenRules("issuer", "signal", keys))
    forged = jwt.encode({"sub": "mallory"}, private, "EdDSA", {"kid": kid} if kid is not None else None)
    assert doorkeeper.admit(forged, False, Now(0, 0)) == not_accepted(Flaw.UNKNOWN_KEY)
    assert first.asked + second.asked == 1


def test_another_key_for_the_same_algorithm_signs_for_nobody_else() -> None:
    private = ed25519.Ed25519PrivateKey.generate()
    keys = {"real": VerifyingKey("real", "EdDSA", private.public_key())}
    doorkeeper = Doorkeeper(TokenRules("issuer", "signal", keys))
    claims = {"iss": "issuer", "aud": "signal", "sub": "alice", "exp": 100}
    by_name = [jwt.encode(claims, private, "EdDSA", {"kid": kid}) for kid in ("real", "unreal")]
    admitted = [doorkeeper.admit(token, False, Now(0, 0)) for token in by_name]
    assert isinstance(admitted[0], Grants)
    assert admitted[1] == not_accepted(Flaw.UNKNOWN_KEY)
