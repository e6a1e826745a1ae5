"""One credential, or the secret behind it, as each product wants it: fields for programs, a text to paste for people.

Products that make credentials of their own (Synapse, Nextcloud Talk, Jitsi) are given the secret; everybody else a
credential that ends.
"""

import enum
import json
import re
from collections.abc import Callable, Iterator, Mapping
from shlex import quote as quote_word
from typing import Any, NamedTuple
from urllib.parse import quote

from signal_api.relay.ice_servers import IceFormat, IceGrant, ice_servers, render


class Format(enum.StrEnum):
    """What `--format` takes."""

    ICESERVERS = "iceservers"
    TURNREST = "turnrest"
    URI = "uri"
    JS = "js"
    SYNAPSE = "synapse"
    NEXTCLOUD = "nextcloud"
    JITSI = "jitsi"

    @property
    def holds_secret(self) -> bool:
        """Whether the secret itself is told, for the product to make credentials with."""
        return self in (Format.SYNAPSE, Format.NEXTCLOUD, Format.JITSI)


class Gift(NamedTuple):
    """What there is to tell: a credential with its URIs, and the secret that it was made with. `machine_host` is the
    address that the URIs name for want of a public name."""

    grant: IceGrant
    secret: str
    machine_host: str | None = None


class Server(NamedTuple):
    """A STUN or TURN URI (RFC 7064, RFC 7065) in its parts; `host` in brackets where it is IPv6."""

    scheme: str
    host: str
    port: int
    transport: str


Fields = dict[str, Any]

_URI = re.compile(r"(stuns?|turns?):(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?(?:\?transport=(udp|tcp))?")
_DEFAULT_PORTS = {"stun": 3478, "turn": 3478, "stuns": 5349, "turns": 5349}
_DEFAULT_TRANSPORTS = {"stun": "udp", "turn": "udp", "stuns": "tcp", "turns": "tcp"}


def fields(gift: Gift, shape: Format) -> Fields:
    """The members of the form, by the product's own names."""
    return _FORMS[shape].fields(gift)


def text(gift: Gift, shape: Format) -> str:
    """The form as it is pasted, without a line end behind it."""
    form = _FORMS[shape]
    return form.text(form.fields(gift))


def parse_uri(uri: str) -> Server:
    """Takes a URI apart; raises ValueError with a sentence for what is none."""
    match = _URI.fullmatch(uri)
    if match is None:
        raise ValueError(f"{uri!r} is no STUN or TURN URI; look at public_host and signal_api.ice")
    scheme, host, port, transport = match.groups()
    return Server(scheme, host, int(port or _DEFAULT_PORTS[scheme]), transport or _DEFAULT_TRANSPORTS[scheme])


# Credentials


def _iceservers(gift: Gift) -> Fields:
    return {"iceServers": ice_servers(gift.grant)}


def _turnrest(gift: Gift) -> Fields:
    shape = render(gift.grant, IceFormat.REST)
    assert isinstance(shape, dict)
    return shape


def _uri(gift: Gift) -> Fields:
    """With the credential inside, percent-encoded, as GStreamer and turncat read it."""
    who = f"{quote(gift.grant.username, safe='')}:{quote(gift.grant.password, safe='')}"
    servers = [parse_uri(uri) for uri in gift.grant.urls.turn]
    return {"uris": [f"{s.scheme}://{who}@{s.host}:{s.port}?transport={s.transport}" for s in servers]}


def _as_json(members: Fields) -> str:
    return json.dumps(members, indent=2)


def _as_lines(members: Fields) -> str:
    return "\n".join(members["uris"])


def _as_script(members: Fields) -> str:
    return f"const call = new RTCPeerConnection({json.dumps(members, indent=2)});"


# The secret


def _synapse(gift: Gift) -> Fields:
    return {
        "turn_uris": list(gift.grant.urls.turn),
        "turn_shared_secret": gift.secret,
        "turn_user_lifetime": gift.grant.lifetime * 1000,
        "turn_allow_guests": True,
    }


def _as_yaml(members: Fields) -> str:
    """JSON is YAML, value by value."""
    return "\n".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in members.items())


def _nextcloud(gift: Gift) -> Fields:
    stun = (parse_uri(uri) for uri in gift.grant.urls.stun)
    return {
        "stun_servers": list(dict.fromkeys(f"{one.host}:{one.port}" for one in stun)),
        "turn_servers": list(_one_per_port(gift)),
    }


def _one_per_port(gift: Gift) -> Iterator[Fields]:
    """Talk has one row for a port, with its transports in a list."""
    transports: dict[tuple[str, str], list[str]] = {}
    for one in map(parse_uri, gift.grant.urls.turn):
        transports.setdefault((one.scheme, f"{one.host}:{one.port}"), []).append(one.transport)
    for (scheme, server), protocols in transports.items():
        yield {"schemes": scheme, "server": server, "secret": gift.secret, "protocols": ",".join(protocols)}


def _as_commands(members: Fields) -> str:
    stun = [f"occ talk:stun:add {server}" for server in members["stun_servers"]]
    turn = [
        f"occ talk:turn:add --secret={quote_word(row['secret'])} {row['schemes']} {row['server']} {row['protocols']}"
        for row in members["turn_servers"]
    ]
    return "\n".join([*stun, *turn])


def _jitsi(gift: Gift) -> Fields:
    more = {"secret": True, "ttl": gift.grant.lifetime, "algorithm": "turn"}
    uris = (*gift.grant.urls.stun, *gift.grant.urls.turn)
    return {
        "external_service_secret": gift.secret,
        "external_services": [_service(parse_uri(uri), more) for uri in uris],
    }


def _service(server: Server, more: Mapping[str, Any]) -> Fields:
    service = {
        "type": server.scheme,
        "host": server.host.strip("[]"),
        "port": server.port,
        "transport": server.transport,
    }
    return service if server.scheme.startswith("stun") else {**service, **more}


def _as_lua(members: Fields) -> str:
    """Prosody's configuration. What JSON writes for texts, numbers and truths is Lua as well."""
    rows = [[f"{name} = {_lua(value)}" for name, value in row.items()] for row in members["external_services"]]
    services = "".join(f"    {{ {', '.join(row)} }};\n" for row in rows)
    secret = _lua(members["external_service_secret"])
    return f"external_service_secret = {secret};\nexternal_services = {{\n{services}}};"


def _lua(value: str | int | bool) -> str:
    return json.dumps(value, ensure_ascii=False)


class _Form(NamedTuple):
    fields: Callable[[Gift], Fields]
    text: Callable[[Fields], str]


_FORMS: Mapping[Format, _Form] = {
    Format.ICESERVERS: _Form(_iceservers, _as_json),
    Format.TURNREST: _Form(_turnrest, _as_json),
    Format.URI: _Form(_uri, _as_lines),
    Format.JS: _Form(_iceservers, _as_script),
    Format.SYNAPSE: _Form(_synapse, _as_yaml),
    Format.NEXTCLOUD: _Form(_nextcloud, _as_commands),
    Format.JITSI: _Form(_jitsi, _as_lua),
}
