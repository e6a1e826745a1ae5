"""How a request shows that a session is its own: by a header, by a cookie, or by what a beacon carries.

The header is the rule. EventSource and sendBeacon cannot set one, so a page on https may have the key in a cookie
that only this host sets and gets.
"""

from http.cookies import CookieError, SimpleCookie

import msgspec

from signal_api.origins import Approach

_COOKIE = "__Host-sig-"


class Beacon(msgspec.Struct, frozen=True):
    """The body of a beacon."""

    key: str


def bearer_key(approach: Approach) -> str | None:
    """The key in Authorization."""
    scheme, _, key = approach.headers.get("authorization", "").partition(" ")
    return key.strip() or None if scheme.lower() == "bearer" else None


def cookie_key(approach: Approach, sid: str) -> str | None:
    """The key in the session's cookie, which counts on https alone."""
    if approach.scheme != "https":
        return None
    try:
        found = SimpleCookie(approach.headers.get("cookie", "")).get(f"{_COOKIE}{sid}")
    except CookieError:
        return None
    return found.value or None if found is not None else None


def beacon_key(body: bytes) -> str | None:
    """The key in the body of a request."""
    try:
        return msgspec.json.decode(body, type=Beacon).key
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def drop_cookie(sid: str) -> tuple[bytes, bytes]:
    """The header that takes it back."""
    return b"set-cookie", f"{_COOKIE}{sid}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0".encode()


def set_cookie(sid: str, key: str) -> tuple[bytes, bytes]:
    """The header that leaves the key with a browser until it is closed."""
    return b"set-cookie", f"{_COOKIE}{sid}={key}; Path=/; Secure; HttpOnly; SameSite=Strict".encode()
