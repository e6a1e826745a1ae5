"""Configurations, clocks and tokens for tests."""

import json
from typing import Any

import jwt

from fairlead.clock import Now
from fairlead.config import Loaded, load
from fairlead.metrics import Metrics
from signal_api.config import SignalApiSettings
from signal_api.metrics import Instruments

ISSUER = "https://issuer.example"
SIGNING_KEY = "a shared secret of thirty-two bytes"
JOIN_KEY = "join-key-0123456789"
TURN_SECRET = "the secret of turnd"

DEFAULTS = {
    "FAIRLEAD__AUTH__SECRETS": json.dumps([{"name": "current", "value": TURN_SECRET}]),
    "FAIRLEAD__SIGNAL_API__JOIN_KEY": JOIN_KEY,
    "FAIRLEAD__SIGNAL_API__JWT__ISSUER": ISSUER,
    "FAIRLEAD__SIGNAL_API__JWT__KEYS": json.dumps([{"id": "k1", "algorithm": "HS256", "key": SIGNING_KEY}]),
    "FAIRLEAD__SIGNAL_API__LISTEN": "127.0.0.1:0",
    "FAIRLEAD__SIGNAL_API__OPS": "127.0.0.1:0",
}


class ManualClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self._now = Now(monotonic=1000.0, wall=1_763_795_100.0)

    def now(self) -> Now:
        return self._now

    def monotonic(self) -> float:
        return self.now().monotonic

    def move(self, seconds: float) -> None:
        self._now = Now(self._now.monotonic + seconds, self._now.wall + seconds)


def configured(**keys: object) -> Loaded[SignalApiSettings]:
    """The defaults above, and keys below signal_api: `configured(demo=True, limits__sessions=2)`; None unsets one."""
    environ = dict(DEFAULTS)
    for key, value in keys.items():
        name = f"FAIRLEAD__SIGNAL_API__{key.upper()}"
        for known in [known for known in environ if known == name or known.startswith(name + "__")]:
            del environ[known]
        if value is not None:
            environ[name] = value if isinstance(value, str) else json.dumps(value)
    return load(None, environ, "signal_api", SignalApiSettings)


def instruments() -> Instruments:
    return Instruments(Metrics("signal"))


def token(clock: ManualClock, user: str = "alice", lifetime: float = 600, jti: str | None = None, **grant: Any) -> str:
    """A good token, issued now; `grant` is the claim `sig`, every room by default."""
    claims = {
        "iss": ISSUER,
        "aud": "signal",
        "sub": user,
        "exp": clock.now().wall + lifetime,
        "iat": clock.now().wall,
        "sig": {"rooms": ["*"]} | grant,
    }
    claims |= {"jti": jti} if jti is not None else {}
    return jwt.encode(claims, SIGNING_KEY, "HS256", {"kid": "k1"})
