"""Host and Origin: what is ours, which page is welcome, and who sits at this machine."""

import pytest

from signal_api.origins import Approach, Entrance, Origin, is_foreign, is_local, join_headers, parse_origin

ENTRANCE = Entrance(frozenset({"signal.example"}), frozenset({Origin("https", "app.example", 443)}))


def _approach(
    host: str, client: str = "198.51.100.7", server: str = "203.0.113.5", scheme: str = "http", **headers: str
) -> Approach:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Approach(scheme, {"host": host, **named}, client, server)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://app.example", Origin("https", "app.example", 443)),
        ("HTTPS://App.Example:8443", Origin("https", "app.example", 8443)),
        ("http://[2001:DB8::1]:8080", Origin("http", "2001:db8::1", 8080)),
        ("http://localhost", Origin("http", "localhost", 80)),
    ],
)
def test_origins_are_read(text: str, expected: Origin) -> None:
    assert parse_origin(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "*",
        "app.example",
        "https://",
        "https://app.example/",
        "https://user@app.example",
        "https://app.example:99999",
        "https://app.example, https://evil.example",
        "https://*.example",
        "ftp://app.example",
        "https://\uff41pp.example",
        "https://app.example:\u0663",
    ],
)
def test_what_is_no_origin(text: str) -> None:
    assert parse_origin(text) is None


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("signal.example", "signal.example"),
        ("SIGNAL.example:8080", "signal.example"),
        ("203.0.113.5", "203.0.113.5"),
        ("203.0.113.5:9000", "203.0.113.5"),
        ("203.0.113.6", None),
        ("localhost", None),
        ("evil.example", None),
        ("signal.example.evil", None),
        ("signal.example@evil", None),
        ("app.example", None),
        ("", None),
        ("a b", None),
        ("signal.example, evil.example", None),
    ],
)
def test_which_host_is_ours(host: str, expected: str | None) -> None:
    assert ENTRANCE.host_of(_approach(host)) == expected


@pytest.mark.parametrize(
    ("host", "server", "ours"),
    [
        ("localhost:8080", "127.0.0.1", True),
        ("localhost", "::1", True),
        ("127.0.0.1:8080", "127.0.0.1", True),
        ("[::1]:8080", "::1", True),
        ("127.0.0.1", "::ffff:127.0.0.1", True),
        ("0.0.0.0:8080", "127.0.0.1", False),
        ("rebound.example:8080", "127.0.0.1", False),
        ("localhost.evil.example", "127.0.0.1", False),
    ],
)
def test_loopback_under_its_own_names_alone(host: str, server: str, ours: bool) -> None:
    assert (Entrance().host_of(_approach(host, server=server)) is not None) is ours


@pytest.mark.parametrize(
    ("origin", "welcome"),
    [
        ("http://signal.example:8080", True),
        ("https://app.example", True),
        ("http://app.example", False),
        ("https://signal.example:8080", False),
        ("http://signal.example", False),
        ("http://signal.example:8081", False),
        ("http://evil.example", False),
        ("https://app.example.evil", False),
        ("https://evil-app.example", False),
        ("https://app.example:444", False),
        ("null", False),
        ("", False),
    ],
)
def test_which_page_is_welcome(origin: str, welcome: bool) -> None:
    approach = _approach("signal.example:8080", origin=origin)
    assert ENTRANCE.welcomes(approach) is welcome
    assert is_foreign(ENTRANCE, approach) is not welcome


def test_a_default_port_may_be_left_out_or_written() -> None:
    assert ENTRANCE.welcomes(_approach("signal.example", origin="http://signal.example:80"))
    assert ENTRANCE.welcomes(_approach("signal.example:443", scheme="https", origin="https://signal.example"))


def test_no_origin_at_all_is_not_welcome_but_not_foreign() -> None:
    """A program may ask over HTTP; a WebSocket wants to know."""
    assert not ENTRANCE.welcomes(_approach("signal.example"))
    assert not is_foreign(ENTRANCE, _approach("signal.example"))


@pytest.mark.parametrize(
    ("site", "foreign"), [("cross-site", True), ("same-site", True), ("same-origin", False), ("none", False)]
)
def test_a_browser_says_where_a_request_without_origin_comes_from(site: str, foreign: bool) -> None:
    assert is_foreign(ENTRANCE, _approach("signal.example", sec_fetch_site=site)) is foreign


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "127.7.7.7", "[::1]:8080"])
def test_who_sits_here(host: str) -> None:
    assert is_local(_approach(host, client="127.0.0.1", server="127.0.0.1"))
    assert is_local(_approach(host, client="::ffff:127.0.0.1", server="::1"))


@pytest.mark.parametrize(
    "approach",
    [
        _approach("localhost", client="192.168.1.7", server="127.0.0.1"),
        _approach("localhost", client="127.0.0.1", server="192.168.1.7"),
        _approach("signal.example", client="127.0.0.1", server="127.0.0.1"),
        _approach("192.168.1.7", client="127.0.0.1", server="127.0.0.1"),
        _approach("localhost", client="", server=""),
        _approach("", client="127.0.0.1", server="127.0.0.1"),
        _approach("localhost", client="127.0.0.1", server="127.0.0.1", x_forwarded_for="198.51.100.7"),
        _approach("localhost", client="127.0.0.1", server="127.0.0.1", forwarded="for=198.51.100.7"),
        _approach("localhost", client="127.0.0.1", server="127.0.0.1", x_real_ip="198.51.100.7"),
        _approach("localhost", client="127.0.0.1", server="127.0.0.1", via="1.1 tunnel"),
    ],
)
def test_who_does_not_sit_here(approach: Approach) -> None:
    assert not is_local(approach)


def test_a_header_that_came_twice_equals_neither() -> None:
    headers = join_headers([(b"Host", b"a.example"), (b"host", b"b.example"), (b"Origin", b"null")])
    assert headers == {"host": "a.example, b.example", "origin": "null"}
    assert ENTRANCE.host_of(Approach("http", headers, "", "")) is None
