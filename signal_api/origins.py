"""Where a request comes from: the Host that it names, the page that sent it, and whether somebody is sitting here.

A browser lets any page open a WebSocket to any host, and a name server can make any name point at this machine.
So a Host counts only when it is one of ours, and a page only when it was served under that Host or is on the list.
"""

import functools
import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_DEFAULT_PORTS = {"http": 80, "https": 443}
_AUTHORITY = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?", re.ASCII)
#: characters of a name (RFC 1035 section 2.3.4) with its port; what is remembered of those that ask is small
_LONGEST_AUTHORITY = 261
#: Headers that a proxy adds: the connection is its, the request somebody else's.
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "via")


class Origin(NamedTuple):
    """Scheme, host and port (RFC 6454 section 4); the host in lower case, an IPv6 address without brackets."""

    scheme: str
    host: str
    port: int


class Approach(NamedTuple):
    """How a request reached us: `scheme` is http or https, `headers` have lower-case names, `client` and `server`
    are the two ends of its connection."""

    scheme: str
    headers: Mapping[str, str]
    client: str
    server: str


def parse_origin(text: str) -> Origin | None:
    """Reads `https://app.example:8443`; None for `null` and everything else that is no origin."""
    scheme, separator, authority = text.lower().partition("://")
    if not separator or scheme not in _DEFAULT_PORTS:
        return None
    return _origin(scheme, authority)


def _origin(scheme: str, authority: str) -> Origin | None:
    return _read_origin(scheme, authority) if len(authority) <= _LONGEST_AUTHORITY else None


@functools.lru_cache(1024)
def _read_origin(scheme: str, authority: str) -> Origin | None:
    found = _AUTHORITY.fullmatch(authority.lower())
    if found is None:
        return None
    port = int(found["port"]) if found["port"] else _DEFAULT_PORTS[scheme]
    return Origin(scheme, found["name"].strip("[]"), port) if port <= 65535 else None


class Entrance(NamedTuple):
    """The names that we are reached under besides our addresses, and the pages that may come from elsewhere."""

    names: frozenset[str] = frozenset()
    origins: frozenset[Origin] = frozenset()

    def host_of(self, approach: Approach) -> str | None:
        """The name or address that the request was sent to, when it is ours.

        Ours are the configured names, the address at which the connection arrived, and `localhost` on loopback.
        """
        target = _origin(approach.scheme, approach.headers.get("host", ""))
        if target is None:
            return None
        if target.host in self.names or _same_address(target.host, approach.server):
            return target.host
        return target.host if target.host == "localhost" and _is_loopback(approach.server) else None

    def welcomes(self, approach: Approach) -> bool:
        """Whether the page that sent the request may talk to us. A request without an Origin comes from no page that
        is known, and is not welcome where an Origin is asked for."""
        origin = parse_origin(approach.headers.get("origin", ""))
        if origin is None:
            return False
        return origin in self.origins or origin == _origin(approach.scheme, approach.headers.get("host", ""))


def is_foreign(entrance: Entrance, approach: Approach) -> bool:
    """Whether a browser says that the request comes from a page that is not welcome."""
    if "origin" in approach.headers:
        return not entrance.welcomes(approach)
    return approach.headers.get("sec-fetch-site", "none") not in ("same-origin", "none")


def is_local(approach: Approach) -> bool:
    """Whether the request was made at this machine, by somebody who meant this machine.

    Both ends of the connection and the Host are loopback, and no proxy speaks for somebody else. Pages of other
    sites are judged by is_foreign.
    """
    target = _origin(approach.scheme, approach.headers.get("host", ""))
    return (
        target is not None
        and (target.host == "localhost" or _is_loopback(target.host))
        and _is_loopback(approach.client)
        and _is_loopback(approach.server)
        and approach.headers.keys().isdisjoint(_FORWARDED)
    )


def join_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """ASGI headers by name. A header that came twice is joined by commas, so that it equals no single value."""
    joined: dict[str, str] = {}
    for name, value in headers:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        joined[key] = f"{joined[key]}, {text}" if key in joined else text
    return joined


@functools.lru_cache(1024)
def _same_address(host: str, server: str) -> bool:
    """Neither is long: a host is that of an authority, and the server is one of our addresses."""
    address, other = _read_address(host), _read_address(server)
    return address is not None and address == other


def _is_loopback(text: str) -> bool:
    return len(text) <= _LONGEST_AUTHORITY and _means_loopback(text)


@functools.lru_cache(1024)
def _means_loopback(text: str) -> bool:
    address = _read_address(text)
    return address is not None and address.is_loopback


def _read_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
