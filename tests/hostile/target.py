"""The service that is attacked: a process with every door open, and the keys to each."""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fairlead.datagram import Address
from tests.hostile.raw import Raw, Reply
from tests.processes import JOIN_KEY, Daemon, Daemons, Samples, signaling_on_loopback

ISSUER = "https://issuer.example"
SHARED_KEY = "a shared secret of thirty-two bytes"
READER, WRITER, OTHER_WRITER = "reader-" + "r" * 24, "writer-" + "w" * 24, "writer-" + "o" * 24
SCOPES = ["rooms:read", "rooms:write", "sessions:read", "sessions:write", "publish", "moderate", "stats", "drain"]
APP = "https://app.example"
PEERJS_KEY = "peerjs"
#: for attacks that are about time; the others have the defaults
HASTY: dict[str, float] = {
    "head_timeout": 0.4, "body_timeout": 0.4, "hello_timeout": 0.4, "ping_interval": 0.5, "ping_timeout": 1.0,
}  # fmt: skip
LIMITS = {"connections_per_source": 64, "queue_frames": 64, "queue_bytes": 65536, "sessions_per_source": 32}


@dataclass(frozen=True)
class Target:
    """One signal_api, and what an attacker may have found out about it."""

    daemon: Daemon
    place: Address
    signer: rsa.RSAPrivateKey
    _turns: list[float] = field(default_factory=list)  # at each scrape, the longest before it

    @property
    def public_pem(self) -> bytes:
        return _public(self.signer)

    def token(self, user: str = "mallory", **changed: Any) -> str:
        """A good token, with other claims where `changed` says so; None leaves one out."""
        claims = self.claims(user) | changed
        return jwt.encode({n: v for n, v in claims.items() if v is not None}, SHARED_KEY, "HS256", {"kid": "shared"})

    def claims(self, user: str = "mallory") -> dict[str, Any]:
        now = int(time.time())
        return {"iss": ISSUER, "aud": "signal", "sub": user, "iat": now, "exp": now + 600, "sig": {"rooms": ["*"]}}

    def ask(self, method: str, path: str, body: bytes = b"", /, **headers: str) -> Reply:
        """One request from a source of its own."""
        with Raw(self.place) as raw:
            raw.request(method, path, body, **headers)
            return raw.reply()

    @contextlib.contextmanager
    def entered(self, token: str = JOIN_KEY, room: str | None = None, source: str | None = None) -> Iterator["Guest"]:
        """A WebSocket that was let in, and has joined a room when one is named."""
        with Raw(self.place, source) as raw:
            assert raw.upgrade().status == 101
            raw.say("hello", data={"v": 1, "token": token})
            guest = Guest(raw, raw.hear("welcome")["data"])
            if room is not None:
                guest.joined = guest.join(room)
            yield guest

    def metric(self, name: str, **labels: str) -> int:
        return self._scrape().sum(f"signal_{name}", **labels)

    def longest_turn(self) -> float:
        """CPU seconds of the longest turn of its event loop since this was asked last."""
        self._scrape()
        longest = max(self._turns)
        self._turns.clear()
        return longest

    def _scrape(self) -> Samples:
        samples = self.daemon.metrics()
        self._turns.append(samples.sum("signal_longest_turn_microseconds") / 1e6)
        return samples


class Stranger(Target):
    """Who cannot look at the ops port: it is served by the same loop, and no attacker has it."""

    @classmethod
    def of(cls, target: Target) -> Self:
        return cls(target.daemon, target.place, target.signer)

    def metric(self, name: str, **labels: str) -> int:
        return 0


class Guest:
    """Somebody inside."""

    def __init__(self, raw: Raw, welcome: dict[str, Any]) -> None:
        self.raw = raw
        self.welcome = welcome
        self.joined: dict[str, Any] = {}

    @property
    def member(self) -> str:
        return str(self.joined["self"]["id"])

    def join(self, room: str, **data: Any) -> dict[str, Any]:
        self.raw.say("join", room=room, data=data)
        joined: dict[str, Any] = self.raw.hear("joined")["data"]
        return joined

    def answer(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The frame that answers this one, whichever it is."""
        name = f"t{time.monotonic_ns()}"
        self.raw.say(kind, id=name, **fields)
        while True:
            spoken: dict[str, Any] = json.loads(self.raw.read().payload)
            if spoken.get("re") == name:
                return spoken

    def refusal(self, kind: str, **fields: Any) -> dict[str, Any]:
        """What a frame is refused with."""
        answer = self.answer(kind, **fields)
        assert answer["type"] == "error", answer
        problem: dict[str, Any] = answer["data"]
        return problem

    def is_well(self) -> bool:
        """Whether the session goes on as if nothing had happened."""
        self.raw.say("ping")
        return bool(self.raw.hear("pong"))


def open_target(daemons: Daemons, times: dict[str, float]) -> Target:
    """Starts the process; the sessions of one test would otherwise count against another's limits."""
    signer = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    keys = [
        {"id": "shared", "algorithm": "HS256", "key": SHARED_KEY},
        {"id": "rsa", "algorithm": "RS256", "key": _public(signer).decode()},
    ]
    own = {
        "jwt": {"issuer": ISSUER, "keys": keys},
        "api_keys": [
            {"name": "reader", "value": READER, "scopes": ["rooms:read"]},
            {"name": "writer", "value": WRITER, "scopes": SCOPES},
            {"name": "other", "value": OTHER_WRITER, "scopes": SCOPES},
        ],
        "origins": [APP],
        "peerjs": {"keys": [PEERJS_KEY]},
        "limits": LIMITS,
        "times": times,
    }
    daemon = daemons.start("tests.hostile.probed", signaling_on_loopback(own=own))
    daemon.await_ready()
    return Target(daemon, daemon.address("http"), signer)


def _public(signer: rsa.RSAPrivateKey) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return signer.public_key().public_bytes(serialization.Encoding.PEM, form)
