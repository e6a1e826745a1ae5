"""Who may come in, and what for: JSON Web Tokens by configured keys, and the join key of the demo.

Everything that the server believes of a client stands in the token; nothing else that it says counts.
"""

import enum
import hmac
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

import jwt
import msgspec

from fairlead.clock import Now
from signal_api.protocol.messages import RoomName
from signal_api.protocol.refusals import ErrorCode, Refusal

MAX_TOKEN = 8192  # bytes
#: bytes of a subject: it becomes a part of a TURN user name, which has 508 (RFC 8489 section 14.3)
MAX_SUBJECT = 256
#: A token may say that it begins this many seconds from now: clocks differ.
FUTURE_SKEW = 60
#: One algorithm belongs to each key; a token cannot choose.
ALGORITHMS = ("HS256", "HS384", "HS512", "RS256", "PS256", "ES256", "ES384", "EdDSA")
#: bytes of a shared key: as many as its hash has (RFC 7518 section 3.2)
SHARED_KEY_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}


class Ability(enum.StrEnum):
    """What a token may allow."""

    JOIN = "join"
    CREATE = "create"  # join a room that nobody is in yet
    PUBLISH = "publish"  # send to everybody in a room
    PRIVATE = "private"  # send to some members
    ICE = "ice"  # TURN credentials
    MODERATE = "moderate"  # kick members, lift bans, change what is said of a room


#: What a token allows that does not say; to moderate is never a matter of course.
DEFAULT_ABILITIES = frozenset(Ability) - {Ability.MODERATE}


Amount = Annotated[int, msgspec.Meta(gt=0)]


class RelayBudget(msgspec.Struct, frozen=True):
    """What a token lets its user relay, in bytes of application data, both directions together: in a session, in each
    room together with its other members, and by all of the user's sessions; and `bandwidth`, in bytes a second, through
    each of its relays. None is no limit."""

    session_bytes: Amount | None = None
    room_bytes: Amount | None = None
    total_bytes: Amount | None = None
    bandwidth: Amount | None = None


@dataclass(frozen=True, slots=True)
class Grants:
    """What a client may do. `rooms` are names, or beginnings of names that end in `*`; `expires` and `issued` are Unix
    time, `token` is the token's own id (the claim jti)."""

    user: str | None
    rooms: tuple[str, ...]
    can: frozenset[str] = DEFAULT_ABILITIES
    role: str = "member"
    expires: float | None = None
    token: str | None = None
    issued: float | None = None
    relay: RelayBudget | None = None

    def allow(self, ability: Ability, room: str | None = None) -> bool:
        """Whether this is granted, in this room when one is named."""
        if ability not in self.can:
            return False
        if room is None:
            return True
        for pattern in self.rooms:  # noqa: SIM110  # A generator would cost more than what it looks at.
            if matches(pattern, room):
                return True
        return False

    def lie_within(self, patterns: tuple[str, ...]) -> bool:
        """Whether rooms are granted here, and every one of them is one of these, too."""
        return bool(self.rooms) and all(any(matches(pattern, room) for pattern in patterns) for room in self.rooms)


def matches(pattern: str, room: str) -> bool:
    """Whether a room, or every room that a pattern stands for, is covered by another pattern."""
    return room.startswith(pattern[:-1]) if pattern.endswith("*") else room == pattern


#: Whoever holds the join key, or sits at this machine while the demo runs.
GUEST = Grants(user=None, rooms=("*",))


class VerifyingKey(NamedTuple):
    """A key that tokens are checked with, and its one algorithm."""

    id: str
    algorithm: str
    key: Any

    @classmethod
    def read(cls, key_id: str, algorithm: str, text: str) -> "VerifyingKey":
        """From a shared secret (HS...) or a public key in PEM; raises ValueError with a sentence."""
        least = SHARED_KEY_BYTES.get(algorithm, 0)
        if len(text.encode()) < least:
            raise ValueError(f"a key for {algorithm} has at least {least} bytes; make one with openssl rand -base64 48")
        try:
            prepared = jwt.get_algorithm_by_name(algorithm).prepare_key(text)
        except (jwt.InvalidKeyError, ValueError, TypeError):
            kind = "shared secret, not a PEM file" if least else "public key in PEM"
            raise ValueError(f"{algorithm} needs another key; give it a {kind}") from None
        if not least and hasattr(prepared, "private_bytes"):
            raise ValueError("this is a private key; give the public one, the private one stays with who signs")
        return cls(key_id, algorithm, prepared)


class _Grant(msgspec.Struct, frozen=True):
    """The claim `sig`. Abilities that nobody here knows are ignored."""

    rooms: list[RoomName] = []
    can: list[str] = msgspec.field(default_factory=lambda: list(DEFAULT_ABILITIES))
    role: Annotated[str, msgspec.Meta(max_length=32)] = "member"
    relay: RelayBudget | None = None


class _Claims(msgspec.Struct, frozen=True):
    iss: str
    aud: str | list[str]
    sub: Annotated[str, msgspec.Meta(min_length=1)]
    exp: float
    nbf: float = 0
    iat: float | None = None
    jti: Annotated[str, msgspec.Meta(min_length=1, max_length=256)] | None = None
    sig: _Grant = _Grant()


_claims = msgspec.json.Decoder(_Claims)


class Flaw(enum.StrEnum):
    """Why a token or a key was not accepted. Its operator may count that; whoever brought it hears only that it was
    not, or of one that was good that it is over."""

    MISSING = "missing"  # and nobody is let in without
    MALFORMED = "malformed"  # neither a JWT nor the join key
    UNKNOWN_KEY = "unknown_key"  # no key of this name, or not for this algorithm
    SIGNATURE = "signature"
    CLAIMS = "claims"  # one is missing, too long, or of another type
    ISSUER = "issuer"
    AUDIENCE = "audience"
    NOT_YET = "not_yet"
    EXPIRED = "expired"
    REVOKED = "revoked"
    SESSION_KEY = "session_key"  # no session under this key
    API_KEY = "api_key"  # no such key of a back end


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial(Refusal):
    """A refusal, and for the operator alone why; two that sound alike are alike."""

    flaw: Flaw = field(compare=False)


def not_accepted(flaw: Flaw) -> Denial:
    """What is said of every token that was never good."""
    return Denial(ErrorCode.UNAUTHORIZED, "the token is not accepted", flaw=flaw)


class TokenRules(NamedTuple):
    """What a token must say: who issued it, whom it is for, and which keys may have signed it, by their id."""

    issuer: str
    audience: str
    keys: Mapping[str, VerifyingKey]


@dataclass(frozen=True, slots=True)
class Doorkeeper:
    """Turns a token into grants. Without rules no JWT is accepted, without a join key no join key is.

    `open_locally` lets in, without any token, whoever is known to sit at this machine.
    """

    rules: TokenRules | None = None
    join_key: str | None = None
    open_locally: bool = False

    def admit(self, token: str | None, is_local: bool, now: Now) -> Grants | Denial:
        """Who this is. Every token that is not accepted looks the same, but for one that was good and is over."""
        if token is None:
            if self.open_locally and is_local:
                return GUEST
            return Denial(ErrorCode.UNAUTHORIZED, "this needs a token", flaw=Flaw.MISSING)
        if len(token) > MAX_TOKEN or not token.isascii():
            return not_accepted(Flaw.MALFORMED)
        if self.is_join_key(token):
            return GUEST
        return not_accepted(Flaw.UNKNOWN_KEY) if self.rules is None else _verify(token, self.rules, now)

    def is_join_key(self, text: str) -> bool:
        """Whether this is the join key; in constant time."""
        return self.join_key is not None and hmac.compare_digest(text.encode(), self.join_key.encode())


def _verify(token: str, rules: TokenRules, now: Now) -> Grants | Denial:
    claims = _signed_claims(token, rules)
    if isinstance(claims, Flaw):
        return not_accepted(claims)
    flaw = _flaw_of(claims, rules, now)
    if flaw is not None:
        return not_accepted(flaw)
    if claims.exp <= now.wall:
        wrong = "the token has expired; come back with a fresh one"
        return Denial(ErrorCode.TOKEN_EXPIRED, wrong, flaw=Flaw.EXPIRED)
    grant = claims.sig
    rooms, can = tuple(grant.rooms), frozenset(grant.can)
    return Grants(claims.sub, rooms, can, grant.role, claims.exp, claims.jti, claims.iat, grant.relay)


def _signed_claims(token: str, rules: TokenRules) -> _Claims | Flaw:
    """What a token that a known key has signed says. Time tells nobody which names of keys are known: a signature is
    checked either way, by another key for the algorithm where the one that is named is not there or not for it."""
    try:
        header = jwt.get_unverified_header(token)
        named, algorithm = _key_for(header, rules.keys), header.get("alg")
        is_good = named is not None and named.algorithm == algorithm
        key = named if is_good else next((key for key in rules.keys.values() if key.algorithm == algorithm), None)
        if key is None:
            return Flaw.UNKNOWN_KEY
        signed = jwt.PyJWS(algorithms=[key.algorithm]).decode_complete(token, key.key, algorithms=[key.algorithm])
    except jwt.InvalidSignatureError:
        return Flaw.SIGNATURE if is_good else Flaw.UNKNOWN_KEY
    except (jwt.InvalidTokenError, RecursionError, UnicodeError):
        return Flaw.MALFORMED
    try:
        return _claims.decode(signed["payload"]) if is_good else Flaw.UNKNOWN_KEY
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return Flaw.CLAIMS


def _key_for(header: Mapping[str, Any], keys: Mapping[str, VerifyingKey]) -> VerifyingKey | None:
    """The key that the token names; the one key there is when it names none."""
    if "kid" in header:
        return keys.get(header["kid"])
    return next(iter(keys.values())) if len(keys) == 1 else None


def _flaw_of(claims: _Claims, rules: TokenRules, now: Now) -> Flaw | None:
    """What keeps a token that was signed from being good at any time, or already."""
    audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    if len(claims.sub.encode()) > MAX_SUBJECT or not math.isfinite(claims.exp):
        return Flaw.CLAIMS
    if claims.iss != rules.issuer:
        return Flaw.ISSUER
    if rules.audience not in audiences:
        return Flaw.AUDIENCE
    return Flaw.NOT_YET if max(claims.nbf, claims.iat or 0) > now.wall + FUTURE_SKEW else None
