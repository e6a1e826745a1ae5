"""Keys of back ends: who they are, and what each of them may do."""

import enum
import hashlib
import hmac
from typing import NamedTuple


class Scope(enum.StrEnum):
    """What a key may be good for."""

    ROOMS_READ = "rooms:read"
    ROOMS_WRITE = "rooms:write"  # create, change, close
    SESSIONS_READ = "sessions:read"
    SESSIONS_WRITE = "sessions:write"  # end
    PUBLISH = "publish"  # frames to rooms and users
    MODERATE = "moderate"  # kick, ban
    REVOKE = "credentials:revoke"  # tokens and TURN credentials
    STATS = "stats"
    DRAIN = "drain"


class ApiKey(NamedTuple):
    """`digest` is all that is kept of the key: it is long and random, so SHA-256 is enough."""

    name: str
    digest: bytes
    scopes: frozenset[Scope]


class Keyring:
    """Every key that counts."""

    def __init__(self, keys: tuple[ApiKey, ...] = ()) -> None:
        self._keys = keys

    def find(self, presented: str) -> ApiKey | None:
        """The key that this is; every one is compared, in constant time, whichever it is."""
        digest = digest_of(presented)
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found


def digest_of(key: str) -> bytes:
    """32 bytes."""
    return hashlib.sha256(key.encode()).digest()
