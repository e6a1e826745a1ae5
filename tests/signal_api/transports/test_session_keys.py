"""Keys of sessions in headers, cookies and beacons."""

import pytest

from signal_api.origins import Approach
from signal_api.transports.session_keys import beacon_key, bearer_key, cookie_key, set_cookie


def _approach(scheme: str = "https", **headers: str) -> Approach:
    return Approach(scheme, headers, "", "")


@pytest.mark.parametrize(
    ("header", "key"),
    [("Bearer k", "k"), ("bearer k ", "k"), ("Basic k", None), ("Bearer", None), ("Bearer  ", None), ("", None)],
)
def test_the_bearer_of_a_request(header: str, key: str | None) -> None:
    assert bearer_key(_approach(authorization=header)) == key


def test_a_cookie_counts_for_its_session_and_on_https_alone() -> None:
    header, value = set_cookie("s_a", "k")
    assert header == b"set-cookie"
    cookie = value.decode().partition(";")[0]
    assert cookie_key(_approach(cookie=f"other=1; {cookie}"), "s_a") == "k"
    assert cookie_key(_approach(cookie=cookie), "s_b") is None
    assert cookie_key(_approach("http", cookie=cookie), "s_a") is None
    assert cookie_key(_approach(), "s_a") is None


@pytest.mark.parametrize("cookie", ["__Host-sig-s_a=", "=;;=", "__Host-sig-s_a", "\x00", ", ".join(["a=b"] * 9)])
def test_a_cookie_that_is_none(cookie: str) -> None:
    assert cookie_key(_approach(cookie=cookie), "s_a") is None


@pytest.mark.parametrize(
    ("body", "key"), [(b'{"key":"k"}', "k"), (b"{}", None), (b"", None), (b"\xff", None), (b"[" * 9999, None)]
)
def test_the_key_in_a_beacon(body: bytes, key: str | None) -> None:
    assert beacon_key(body) == key
