"""Which STUN and TURN servers a client is given, with which credential, in which of the field's shapes.

One grant is made and every door writes the same one: the join reply, /v1/ice in all its formats, and Link headers.
"""

import datetime
import enum
import functools
import hashlib
from collections.abc import Container
from typing import Any, NamedTuple

from fairlead.clock import Entropy
from fairlead.credentials import mint
from signal_api.protocol.names import letters

#: the share of its life after which a credential should be renewed
REFRESH_AFTER = 0.75

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class IceFormat(enum.StrEnum):
    """Shapes in which clients expect ICE servers."""

    WEBRTC = "webrtc"  # RTCConfiguration of the W3C, with lifetimes beside it
    REST = "rest"  # draft-uberti-behave-turn-rest-00
    MATRIX = "matrix"  # /_matrix/client/v3/voip/turnServer
    TWILIO = "twilio"  # Network Traversal Service tokens
    ARRAY = "array"  # the bare list of RTCIceServer
    AWS = "aws"  # Kinesis Video Streams, GetIceServerConfig


class Urls(NamedTuple):
    """STUN and TURN URIs (RFC 7064, RFC 7065)."""

    stun: tuple[str, ...]
    turn: tuple[str, ...]

    def at(self, host: str) -> "Urls":
        """The URIs with `{host}` replaced; an IPv6 address stands in brackets."""
        name = f"[{host}]" if ":" in host else host
        stun, turn = (tuple(uri.replace("{host}", name) for uri in uris) for uris in self)
        return Urls(stun, turn)

    def without(self, hosts: Container[str], ports: Container[int]) -> "Urls":
        """The URIs without the TURN servers at one of these hosts and ports; a host may be `{host}` itself."""
        return Urls(self.stun, tuple(uri for uri in self.turn if not _is_at(uri, hosts, ports)))


def _is_at(uri: str, hosts: Container[str], ports: Container[int]) -> bool:
    scheme, _, rest = uri.partition(":")
    name, _, port = rest.partition("?")[0].rpartition(":")
    if not name or port.endswith("]"):  # There is no port: the last colon, if any, is one of an IPv6 address.
        name, port = rest.partition("?")[0], "5349" if scheme == "turns" else "3478"
    return name.strip("[]") in hosts and int(port) in ports


class Issuer(NamedTuple):
    """What credentials are made with: the current secret, and their lifetime in seconds. `longest` is what turnd lets
    those have that others make with it, 0 for any."""

    secret: bytes
    lifetime: int
    urls: Urls
    region: str | None = None
    longest: int = 0


class IceGrant(NamedTuple):
    """ICE servers for one client. Times are Unix seconds; `id` names this credential in logs."""

    id: str
    urls: Urls
    username: str
    password: str
    issued: int
    lifetime: int
    region: str | None


def grant(issuer: Issuer, host: str, user_id: str, wall: float, entropy: Entropy) -> IceGrant:
    """A fresh credential of `user_id` for the servers at `host`, from the moment `wall` on."""
    issued = int(wall)
    credential = mint(issuer.secret, user_id, issued + issuer.lifetime)
    urls = _urls_at(issuer.urls, host)
    return IceGrant(f"crd_{letters(entropy(8))}", urls, *credential, issued, issuer.lifetime, issuer.region)


# The hosts by which clients find us are few: whoever comes by another is turned away before.
_urls_at = functools.lru_cache(64)(Urls.at)


def room_hash(room: str) -> str:
    """16 characters that stand for a room where its name must not be shown."""
    return letters(hashlib.sha256(room.encode()).digest()[:16])


def ice_servers(given: IceGrant) -> list[dict[str, Any]]:
    """The list of RTCIceServer: STUN without, TURN with the credential."""
    servers: list[dict[str, Any]] = []
    if given.urls.stun:
        servers.append({"urls": list(given.urls.stun)})
    if given.urls.turn:
        urls = list(given.urls.turn)
        servers.append({"urls": urls, "username": given.username, "credential": given.password})
    return servers


def without_relay(urls: Urls, host: str) -> list[dict[str, Any]]:
    """The list of RTCIceServer for who may not relay."""
    stun = _urls_at(urls, host).stun
    return [{"urls": list(stun)}] if stun else []


def webrtc(given: IceGrant) -> dict[str, Any]:
    """What `new RTCPeerConnection` takes, and beside it how long it is good."""
    body = {
        "iceServers": ice_servers(given),
        "ttl": given.lifetime,
        "expires_at": _utc(given.issued + given.lifetime),
        "refresh_at": _utc(given.issued + int(given.lifetime * REFRESH_AFTER)),
        "username": given.username,
        "id": given.id,
    }
    return body if given.region is None else body | {"region": given.region}


def render(given: IceGrant, shape: IceFormat) -> dict[str, Any] | list[dict[str, Any]]:
    """The grant as the body of a reply."""
    match shape:
        case IceFormat.WEBRTC:
            return webrtc(given)
        case IceFormat.REST | IceFormat.MATRIX:
            return _plain(given) | {"ttl": given.lifetime, "uris": list(given.urls.turn)}
        case IceFormat.TWILIO:
            return _twilio(given)
        case IceFormat.ARRAY:
            return ice_servers(given)
        case IceFormat.AWS:
            return {"IceServerList": [_aws(given)]}


def link_header(given: IceGrant) -> str:
    """The value of a Link header: one link a URI, as WHIP clients read it (RFC 9725 section 4.6).

    Empty for a user name that no header can hold; the body has it all the same.
    """
    if not (given.username.isascii() and given.username.isprintable()):
        return ""
    username = given.username.replace("\\", "\\\\").replace('"', '\\"')
    credential = f'username="{username}"; credential="{given.password}"; credential-type="password"'
    links = [f'<{uri}>; rel="ice-server"' for uri in given.urls.stun]
    links += [f'<{uri}>; rel="ice-server"; {credential}' for uri in given.urls.turn]
    return ", ".join(links)


def _plain(given: IceGrant) -> dict[str, Any]:
    return {"username": given.username, "password": given.password}


def _twilio(given: IceGrant) -> dict[str, Any]:
    date = _mail_date(given.issued)
    servers: list[dict[str, Any]] = [{"url": uri, "urls": uri} for uri in given.urls.stun]
    servers += [
        {"url": uri, "urls": uri, "username": given.username, "credential": given.password} for uri in given.urls.turn
    ]
    rest = {"ttl": str(given.lifetime), "ice_servers": servers, "date_created": date, "date_updated": date}
    return _plain(given) | rest


def _aws(given: IceGrant) -> dict[str, Any]:
    return {
        "Uris": list(given.urls.turn),
        "Username": given.username,
        "Password": given.password,
        "Ttl": given.lifetime,
    }


def _mail_date(seconds: int) -> str:
    """RFC 5322 section 3.3, whatever the locale."""
    moment = _moment(seconds)
    day, month = _DAYS[moment.weekday()], _MONTHS[moment.month - 1]
    return f"{day}, {moment.day:02} {month} {moment.year} {moment.time().isoformat()} +0000"


def _moment(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC)


@functools.lru_cache(16)
def _utc(seconds: int) -> str:
    return _moment(seconds).isoformat().removesuffix("+00:00") + "Z"
