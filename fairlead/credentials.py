"""Time-limited TURN credentials: minted by signaling, checked by turnd, joined by nothing but a secret.

The scheme is that of draft-uberti-behave-turn-rest-00: the username says until when it is good and whose it is,
`<unix expiry>[:<user id>]`, and the password is a MAC of the username. The user id begins behind the FIRST colon,
since ids may hold colons themselves (Matrix ids do).
"""

import base64
import functools
import hmac
from typing import NamedTuple

#: More digits are no date: nine hundred thousand years in milliseconds still fit.
_MOST_DIGITS = 17


class Credential(NamedTuple):
    """What a client is told."""

    username: str
    password: str


class TimeLimited(NamedTuple):
    """What such a username says: Unix time in seconds, and the id, empty where there is none."""

    expires: int
    user_id: str


def mint(secret: bytes, user_id: str, expires: int) -> Credential:
    """A credential that is good until the Unix time `expires`."""
    username = f"{expires}:{user_id}" if user_id else str(expires)
    return Credential(username, password_for(secret, username))


def password_for(secret: bytes, username: str) -> str:
    """base64(HMAC-SHA1(secret, username)), 28 characters."""
    mac = _keyed(secret).copy()
    mac.update(username.encode())
    return base64.b64encode(mac.digest()).decode()


@functools.lru_cache(8)
def _keyed(secret: bytes) -> hmac.HMAC:
    """Secrets are few; to begin with one takes longer than what follows."""
    return hmac.new(secret, digestmod="sha1")


def parse_username(username: str) -> TimeLimited | None:
    """Reads `<unix expiry>[:<user id>]`; None when the username begins with no plain decimal number."""
    expires, _, user_id = username.partition(":")
    if not (expires.isascii() and expires.isdigit() and len(expires) <= _MOST_DIGITS):
        return None
    return TimeLimited(int(expires), user_id)
