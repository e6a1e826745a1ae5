"""The forms as their products read them; expected texts are written out, not derived."""

import json
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from fairlead_cli.creds.formats import Format, Gift, Server, fields, parse_uri, text
from signal_api.relay.ice_servers import IceGrant, Urls

#: Signs that URIs, shells and JSON take for their own.
PASSWORD = "a+b/c="
URLS = Urls(
    stun=("stun:turn.example.org:3479",),
    turn=(
        "turn:turn.example.org:3478?transport=udp",
        "turn:turn.example.org:3478?transport=tcp",
        "turns:turn.example.org:5349?transport=tcp",
    ),
)
GRANT = IceGrant("crd_x", URLS, "1700003600:@alice:example.org", PASSWORD, 1700000000, 3600, None)
GIFT = Gift(GRANT, 'no"rth')
ICE_SERVERS = [
    {"urls": ["stun:turn.example.org:3479"]},
    {"urls": list(URLS.turn), "username": GRANT.username, "credential": PASSWORD},
]


def test_iceservers_is_an_rtc_configuration() -> None:
    assert json.loads(text(GIFT, Format.ICESERVERS)) == {"iceServers": ICE_SERVERS}


def test_turnrest_is_what_the_draft_says() -> None:
    assert json.loads(text(GIFT, Format.TURNREST)) == {
        "username": GRANT.username,
        "password": PASSWORD,
        "ttl": 3600,
        "uris": list(URLS.turn),
    }


def test_a_uri_holds_the_credential_percent_encoded() -> None:
    first, second, third = text(GIFT, Format.URI).splitlines()
    who = "1700003600%3A%40alice%3Aexample.org:a%2Bb%2Fc%3D"
    assert first == f"turn://{who}@turn.example.org:3478?transport=udp"
    assert second.endswith("@turn.example.org:3478?transport=tcp")
    assert third == f"turns://{who}@turn.example.org:5349?transport=tcp"
    parts = urlsplit(first)
    assert parts.username is not None
    assert parts.password is not None
    assert (unquote(parts.username), unquote(parts.password)) == (GRANT.username, PASSWORD)


def test_js_is_a_statement_around_the_configuration() -> None:
    statement = text(GIFT, Format.JS)
    opening, closing = "const call = new RTCPeerConnection(", ");"
    assert statement.startswith(opening)
    assert statement.endswith(closing)
    assert json.loads(statement.removeprefix(opening).removesuffix(closing)) == {"iceServers": ICE_SERVERS}


def test_synapse_is_yaml_with_a_lifetime_in_milliseconds() -> None:
    assert yaml.safe_load(text(GIFT, Format.SYNAPSE)) == {
        "turn_uris": list(URLS.turn),
        "turn_shared_secret": 'no"rth',
        "turn_user_lifetime": 3600000,
        "turn_allow_guests": True,
    }


def test_nextcloud_is_one_command_for_each_server() -> None:
    assert text(GIFT, Format.NEXTCLOUD).splitlines() == [
        "occ talk:stun:add turn.example.org:3479",
        "occ talk:turn:add --secret='no\"rth' turn turn.example.org:3478 udp,tcp",
        "occ talk:turn:add --secret='no\"rth' turns turn.example.org:5349 tcp",
    ]


def test_jitsi_is_prosodys_lua() -> None:
    more = 'secret = true, ttl = 3600, algorithm = "turn"'
    host = 'host = "turn.example.org"'
    assert text(GIFT, Format.JITSI).splitlines() == [
        'external_service_secret = "no\\"rth";',
        "external_services = {",
        f'    {{ type = "stun", {host}, port = 3479, transport = "udp" }};',
        f'    {{ type = "turn", {host}, port = 3478, transport = "udp", {more} }};',
        f'    {{ type = "turn", {host}, port = 3478, transport = "tcp", {more} }};',
        f'    {{ type = "turns", {host}, port = 5349, transport = "tcp", {more} }};',
        "};",
    ]


@pytest.mark.parametrize("shape", Format)
def test_only_the_products_that_need_it_are_told_the_secret(shape: Format) -> None:
    assert (GIFT.secret in json.dumps(fields(GIFT, shape)).replace("\\", "")) is shape.holds_secret
    assert (PASSWORD in unquote(text(GIFT, shape))) is not shape.holds_secret


def test_ipv6_keeps_its_brackets_in_uris_and_loses_them_in_lua() -> None:
    gift = GIFT._replace(grant=GRANT._replace(urls=Urls((), ("turn:[2001:db8::7]:3478?transport=udp",))))
    assert "@[2001:db8::7]:3478?" in text(gift, Format.URI)
    assert 'host = "2001:db8::7", port = 3478' in text(gift, Format.JITSI)
    assert text(gift, Format.NEXTCLOUD).endswith(" turn [2001:db8::7]:3478 udp")


@pytest.mark.parametrize(
    ("uri", "server"),
    [
        ("turn:h", Server("turn", "h", 3478, "udp")),
        ("turns:h", Server("turns", "h", 5349, "tcp")),
        ("turn:h:443?transport=tcp", Server("turn", "h", 443, "tcp")),
        ("stun:[::1]:3479", Server("stun", "[::1]", 3479, "udp")),
        ("stun:[::1]", Server("stun", "[::1]", 3478, "udp")),
    ],
)
def test_what_a_uri_leaves_out_is_its_default(uri: str, server: Server) -> None:
    assert parse_uri(uri) == server


@pytest.mark.parametrize("uri", ["turn:", "turn:h:port", "turn:h?transport=sctp", "http://h", "turn:::1", "turn:a b"])
def test_what_is_no_uri_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=r"is no STUN or TURN URI; look at public_host and signal_api\.ice"):
        parse_uri(uri)
