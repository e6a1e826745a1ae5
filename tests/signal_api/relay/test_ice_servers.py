"""ICE servers: every shape exactly, and credentials that turnd accepts."""

import pytest

from fairlead.credentials import TimeLimited, parse_username, password_for
from signal_api.relay.ice_servers import (
    IceFormat,
    IceGrant,
    Issuer,
    Urls,
    grant,
    link_header,
    render,
    room_hash,
)
from tests.signal_api.dice import dice

URLS = Urls(("stun:{host}:3479",), ("turn:{host}:3478?transport=udp", "turns:{host}:5349?transport=tcp"))
ISSUER = Issuer(b"secret", 3600, URLS)
WALL = 1_763_795_100.9
GIVEN = grant(ISSUER, "turn.example", "alice", WALL, dice())
USERNAME = "1763798700:alice"
PASSWORD = password_for(b"secret", USERNAME)
TURN = ["turn:turn.example:3478?transport=udp", "turns:turn.example:5349?transport=tcp"]
SERVERS = [
    {"urls": ["stun:turn.example:3479"]},
    {"urls": TURN, "username": USERNAME, "credential": PASSWORD},
]


def test_the_credential_is_good_for_its_lifetime() -> None:
    assert parse_username(GIVEN.username) == TimeLimited(1763795100 + 3600, "alice")
    assert GIVEN.password == PASSWORD
    assert GIVEN.id.startswith("crd_")
    assert grant(ISSUER, "turn.example", "alice", WALL, dice(2)).id != GIVEN.id


def test_webrtc() -> None:
    assert render(GIVEN, IceFormat.WEBRTC) == {
        "iceServers": SERVERS,
        "ttl": 3600,
        "expires_at": "2025-11-22T08:05:00Z",
        "refresh_at": "2025-11-22T07:50:00Z",
        "username": USERNAME,
        "id": GIVEN.id,
    }
    body = render(GIVEN._replace(region="eu-1"), IceFormat.WEBRTC)
    assert isinstance(body, dict)
    assert body["region"] == "eu-1"


@pytest.mark.parametrize("shape", [IceFormat.REST, IceFormat.MATRIX])
def test_turn_rest_and_matrix(shape: IceFormat) -> None:
    assert render(GIVEN, shape) == {"username": USERNAME, "password": PASSWORD, "ttl": 3600, "uris": TURN}


def test_twilio() -> None:
    entry = {"username": USERNAME, "credential": PASSWORD}
    assert render(GIVEN, IceFormat.TWILIO) == {
        "username": USERNAME,
        "password": PASSWORD,
        "ttl": "3600",
        "ice_servers": [
            {"url": "stun:turn.example:3479", "urls": "stun:turn.example:3479"},
            *({"url": url, "urls": url, **entry} for url in TURN),
        ],
        "date_created": "Sat, 22 Nov 2025 07:05:00 +0000",
        "date_updated": "Sat, 22 Nov 2025 07:05:00 +0000",
    }


def test_array_and_aws() -> None:
    assert render(GIVEN, IceFormat.ARRAY) == SERVERS
    assert render(GIVEN, IceFormat.AWS) == {
        "IceServerList": [{"Uris": TURN, "Username": USERNAME, "Password": PASSWORD, "Ttl": 3600}]
    }


def test_link_header() -> None:
    credential = f'username="{USERNAME}"; credential="{PASSWORD}"; credential-type="password"'
    assert link_header(GIVEN) == ", ".join(
        [
            '<stun:turn.example:3479>; rel="ice-server"',
            *(f'<{url}>; rel="ice-server"; {credential}' for url in TURN),
        ]
    )


@pytest.mark.parametrize(
    ("user", "quoted"),
    [('a"; rel="x', r"1763798700:a\"; rel=\"x"), ("back\\slash", r"1763798700:back\\slash")],
)
def test_a_user_name_cannot_break_out_of_the_link_header(user: str, quoted: str) -> None:
    assert f'username="{quoted}";' in link_header(grant(ISSUER, "h", user, WALL, dice()))


@pytest.mark.parametrize("user", ["line\r\nset-cookie: a=b", "snow☃man"])
def test_a_user_name_that_no_header_can_hold_leaves_the_header_out(user: str) -> None:
    assert link_header(grant(ISSUER, "h", user, WALL, dice())) == ""


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("203.0.113.5", "stun:203.0.113.5:3479"),
        ("2001:db8::5", "stun:[2001:db8::5]:3479"),
        ("h.example", "stun:h.example:3479"),
    ],
)
def test_the_host_stands_in_every_uri(host: str, expected: str) -> None:
    assert URLS.at(host).stun == (expected,)


def test_without_servers_of_a_kind_there_is_no_entry() -> None:
    only_turn: IceGrant = grant(ISSUER._replace(urls=Urls((), URLS.turn)), "h", "u", WALL, dice())
    body = render(only_turn, IceFormat.ARRAY)
    assert len(body) == 1
    only_stun = grant(ISSUER._replace(urls=Urls(URLS.stun, ())), "h", "u", WALL, dice())
    assert render(only_stun, IceFormat.ARRAY) == [{"urls": ["stun:h:3479"]}]


def test_the_servers_of_one_host_and_its_ports_may_be_left_out() -> None:
    turn = (
        "turn:{host}:3478?transport=udp",
        "turn:a.example",
        "turn:a.example:3479?transport=tcp",
        "turns:a.example?transport=tcp",
        "turn:[2001:db8::1]:3478",
        "turn:[2001:db8::1]",
        "turn:b.example:3478",
    )
    urls = Urls(("stun:a.example",), turn)
    rest = urls.without({"a.example", "2001:db8::1"}, {3478, 5349})
    assert rest == Urls(("stun:a.example",), (turn[0], turn[2], turn[6]))
    assert urls.without({"{host}"}, {3478}).turn == turn[1:]
    assert urls.without({"a.example"}, {3480}) == urls


def test_a_room_is_named_by_its_hash() -> None:
    assert len(room_hash("café")) == 16
    assert room_hash("café") != room_hash("cafe")
