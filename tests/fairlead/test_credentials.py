"""Time-limited credentials: what is minted is read again, and other servers of the same scheme agree."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.credentials import Credential, TimeLimited, mint, parse_username, password_for


@given(st.binary(max_size=80), st.text(max_size=40), st.integers(0, 10**12))
def test_what_is_minted_says_until_when_and_whose_it_is(secret: bytes, user_id: str, expires: int) -> None:
    credential = mint(secret, user_id, expires)
    assert parse_username(credential.username) == TimeLimited(expires, user_id)
    mac = hmac.new(secret, credential.username.encode(), hashlib.sha1).digest()
    assert credential.password == base64.b64encode(mac).decode() == password_for(secret, credential.username)
    assert len(credential.password) == 28


def test_a_credential_that_other_servers_of_this_scheme_accept() -> None:
    """Computed with `printf 1433895918:user | openssl dgst -sha1 -hmac secret -binary | base64`."""
    assert mint(b"secret", "user", 1433895918) == Credential("1433895918:user", "duY86vsmGEXM+Ma7pGS//SXJIv0=")


@pytest.mark.parametrize(
    ("username", "expected"),
    [
        ("1700000000", TimeLimited(1700000000, "")),
        ("1700000000:", TimeLimited(1700000000, "")),
        ("1700000000:alice", TimeLimited(1700000000, "alice")),
        ("1700000000:@alice:example.org", TimeLimited(1700000000, "@alice:example.org")),
        ("1700000000::", TimeLimited(1700000000, ":")),
        ("0:x", TimeLimited(0, "x")),
        ("1700000000000:milliseconds", TimeLimited(1700000000000, "milliseconds")),
        ("", None),
        (":alice", None),
        ("alice", None),
        ("alice:1700000000", None),
        ("-1:x", None),
        ("+1:x", None),
        (" 1:x", None),
        ("1_0:x", None),
        ("1.5:x", None),
        ("\u0661\u0662:x", None),
        ("\u00b2:x", None),
        ("9" * 17 + ":x", TimeLimited(int("9" * 17), "x")),
        ("9" * 18 + ":x", None),
        ("9" * 5000, None),
    ],
)
def test_usernames_as_they_come(username: str, expected: TimeLimited | None) -> None:
    assert parse_username(username) == expected
