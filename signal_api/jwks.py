"""Keys that tokens are checked with: those of the configuration, and those that an identity provider publishes.

A key set (RFC 7517) is fetched when the service starts, every so often, and when a token names a key that is not
known; whoever makes names up causes a request now and then, not one each. While the provider is away the keys that it
had go on counting; until it was there once, the service is not ready, and a token that its keys may be for is put off.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import jwt
import msgspec

from fairlead.buckets import Rate, TokenBucket
from fairlead.log import get_logger
from signal_api.config import JwksSettings
from signal_api.protocol.authorization import Denial, Flaw, VerifyingKey
from signal_api.protocol.refusals import ErrorCode
from signal_api.timers import Clock

#: bytes of a key set, keys in it, and seconds to get it
MAX_BYTES, MAX_KEYS, TIMEOUT = 262144, 64, 5.0
#: fetches for names that are not known
_UNKNOWN = Rate(1 / 30, 3)
#: seconds from one fetch to the next while no key set was had yet
_SOON = 5.0
#: the least that an RSA key may have in bits (RFC 7518 section 3.3)
_RSA_BITS = 2048
_CURVES = {"P-256": "ES256", "P-384": "ES384", "Ed25519": "EdDSA"}

_log = get_logger("signal_api.jwks")


class KeySource(Mapping[str, VerifyingKey]):
    """Every key by its id; those of the configuration come first. `totals` counts fetches, as `ok` and `failed`."""

    def __init__(self, fixed: Mapping[str, VerifyingKey], settings: JwksSettings | None = None) -> None:
        self._fixed = fixed
        self._settings = settings
        self._published: Mapping[str, VerifyingKey] = {}
        self._unknown = TokenBucket()
        self._fetching: asyncio.Task[None] | None = None
        self.totals: dict[tuple[str, ...], int] = {("ok",): 0, ("failed",): 0}

    def __getitem__(self, key_id: str) -> VerifyingKey:
        found = self._fixed.get(key_id)
        return self._published[key_id] if found is None else found

    def __iter__(self) -> Iterator[str]:
        return iter({**self._published, **self._fixed})

    def __len__(self) -> int:
        return len({**self._published, **self._fixed})

    @property
    def interval(self) -> float | None:
        """Seconds from one fetch to the next; None where nothing is to be fetched."""
        if self._settings is None:
            return None
        return _SOON if self.troubles() else self._settings.refresh

    def troubles(self) -> Sequence[str]:
        """Why tokens that are good may not be accepted; empty once the key set was had."""
        if self._settings is None or self._published:
            return ()
        return (f"the key set was not had yet, from {self._settings.where}",)

    def put_off(self, denial: Denial) -> Denial:
        """What is said instead of a denial for which only keys may be missing that were never had: not for good."""
        if denial.flaw is not Flaw.UNKNOWN_KEY or not self.troubles():
            return denial
        return Denial(ErrorCode.ENGINE_UNAVAILABLE, "tokens cannot be checked just now", _SOON, flaw=denial.flaw)

    def take_over(self, before: "KeySource") -> None:
        """Goes on with what was published at the same place."""
        if self._settings is not None and self._settings == before._settings:
            self._published = before._published

    async def look_for(self, token: str | None, clock: Clock) -> None:
        """Fetches the key set when a token names a key that is not in it, and that was not done just now."""
        if token is None or self._settings is None or (key_id := _key_id(token)) is None or key_id in self:
            return
        if self._fetching is None and self._unknown.take(_UNKNOWN, clock.now().monotonic):
            return
        await self.refresh()

    async def refresh(self) -> None:
        """Fetches the key set once, for all who wait for it; what cannot be had leaves what there was."""
        if self._settings is None:
            return
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch(self._settings))
            self._fetching.add_done_callback(self._done)
        await asyncio.shield(self._fetching)

    def _done(self, _: object) -> None:
        self._fetching = None

    async def _fetch(self, settings: JwksSettings) -> None:
        try:
            text = await _read(settings)
            published = read_key_set(text, settings.algorithms)
        except (httpx.HTTPError, OSError, ValueError, TimeoutError) as error:
            _log.warning("the key set cannot be had", where=settings.where, error=str(error) or type(error).__name__)
            self.totals["failed",] += 1
            return
        self._published = published
        self.totals["ok",] += 1


async def _read(settings: JwksSettings) -> bytes:
    async with asyncio.timeout(TIMEOUT):
        if settings.file is not None:
            return await asyncio.to_thread(_head, settings.file)
        return await _download(str(settings.url))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return _bounded(file.read(MAX_BYTES + 1))


async def _download(url: str) -> bytes:
    body = b""
    async with (
        httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False, trust_env=False) as client,
        client.stream("GET", url, headers={"Accept": "application/json"}) as reply,
    ):
        if reply.status_code != httpx.codes.OK:
            raise ValueError(f"the answer was {reply.status_code}")
        async for part in reply.aiter_bytes():
            body = _bounded(body + part)
    return body


def _bounded(body: bytes) -> bytes:
    if len(body) > MAX_BYTES:
        raise ValueError(f"a key set has at most {MAX_BYTES} bytes")
    return body


class _KeySet(msgspec.Struct, frozen=True):
    keys: list[dict[str, Any]]


_key_sets = msgspec.json.Decoder(_KeySet)


def read_key_set(text: bytes, algorithms: tuple[str, ...]) -> dict[str, VerifyingKey]:
    """The keys of a set that can check signatures here: those with a name, for one of the algorithms.

    Raises ValueError for what is no key set, for one that is too large, and for one of which nothing can be used.
    """
    try:
        listed = _key_sets.decode(text).keys
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ValueError("this is no JSON Web Key Set (RFC 7517)") from None
    if len(listed) > MAX_KEYS:
        raise ValueError(f"a key set has at most {MAX_KEYS} keys")
    keys: dict[str, VerifyingKey] = {}
    for row in listed:
        key = _verifying_key(row, algorithms)
        if key is not None:
            keys.setdefault(key.id, key)
    if not keys:
        raise ValueError(f"no key in it has a kid and is for one of {', '.join(algorithms)}")
    return keys


def _verifying_key(row: Mapping[str, Any], algorithms: tuple[str, ...]) -> VerifyingKey | None:
    key_id, algorithm = row.get("kid"), _algorithm(row, algorithms)
    if not isinstance(key_id, str) or algorithm is None or row.get("use", "sig") != "sig" or "d" in row:
        return None
    try:
        key = jwt.PyJWK(dict(row), algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    is_weak = row["kty"] == "RSA" and key.key_size < _RSA_BITS
    return None if is_weak else VerifyingKey(key_id, algorithm, key)


def _algorithm(row: Mapping[str, Any], algorithms: tuple[str, ...]) -> str | None:
    """The one algorithm of a key: what it says, or what follows from its kind. A shared key is never published."""
    kind = row.get("kty")
    if kind == "RSA":
        fitting = [name for name in algorithms if name.startswith(("RS", "PS"))]
    else:
        fitting = [name for name in algorithms if kind in ("EC", "OKP") and _CURVES.get(row.get("crv", "")) == name]
    said = row.get("alg", fitting[0] if fitting else None)
    return said if said in fitting else None


def _key_id(token: str) -> str | None:
    try:
        found = jwt.get_unverified_header(token).get("kid")
    except (jwt.InvalidTokenError, UnicodeError, RecursionError):
        return None
    return found if isinstance(found, str) else None
