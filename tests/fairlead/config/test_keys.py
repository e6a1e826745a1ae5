from typing import Any

import pytest
from pydantic import ValidationError

from fairlead.config import AuthSettings, LinkSettings, SharedSettings, TlsSettings


def test_nothing_needs_to_be_set() -> None:
    shared = SharedSettings()
    assert shared.auth.credential_lifetime == 3600
    assert shared.tls.certificate is None
    assert shared.link.socket is None


@pytest.mark.parametrize("given", ["certificate", "key"])
def test_a_certificate_and_its_key_come_together(given: str) -> None:
    with pytest.raises(ValidationError, match="set both, or none for no TLS"):
        TlsSettings.model_validate({given: "file.pem"})


@pytest.mark.parametrize(
    "rows",
    [
        {"secrets": [{"name": "a", "value": "x"}, {"name": "a", "value": "y"}]},
        {"users": [{"name": "a", "password": "x"}, {"name": "a", "password": "y"}]},
    ],
)
def test_names_differ(rows: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="the name 'a' stands twice"):
        AuthSettings.model_validate(rows)


@pytest.mark.parametrize("name", ["Current", "a b", "", "x" * 33, "ä"])
def test_a_secrets_name_serves_as_a_label(name: str) -> None:
    with pytest.raises(ValidationError):
        AuthSettings.model_validate({"secrets": [{"name": name, "value": "x"}]})


def test_what_we_hand_out_is_taken() -> None:
    assert AuthSettings(credential_lifetime=172800).max_lifetime == 172800
    assert AuthSettings(credential_lifetime=999999, max_lifetime=0).credential_lifetime == 999999
    with pytest.raises(ValidationError, match="turnd would refuse such credentials"):
        AuthSettings(credential_lifetime=172801)


def test_secrets_do_not_show() -> None:
    auth = AuthSettings.model_validate(
        {
            "secrets": [{"name": "a", "value": "s3cr3t"}],
            "users": [{"name": "u", "password": "s3cr3t"}],
            "nonce_key": "s3cr3t-s3cr3t-s3cr3t",
        }
    )
    assert "s3cr3t" not in repr(auth)
    assert auth.users[0].password.get_secret_value() == "s3cr3t"


@pytest.mark.parametrize("host", ["turn.example.org", "localhost", "Turn.Example", "192.0.2.1", "2001:db8::1", "a.b."])
def test_a_public_host_is_a_name_or_an_address(host: str) -> None:
    assert SharedSettings(public_host=host).public_host == host


@pytest.mark.parametrize(
    "host", ["https://turn.example.org", "turn.example.org:3478", "a b", "", "-a.org", "[::1]", "a..b"]
)
def test_what_would_break_a_uri_is_no_public_host(host: str) -> None:
    with pytest.raises(ValidationError, match="write the bare name or address"):
        SharedSettings(public_host=host)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"socket": "/run/link", "redis": "redis://127.0.0.1"}, "both set"),
        ({"redis": "http://127.0.0.1"}, "rediss:// for TLS"),
        ({"redis": "redis://127.0.0.1:many/0"}, "rediss:// for TLS"),
        ({"redis": "redis://:pass#word@127.0.0.1/0"}, "rediss:// for TLS"),
        ({"redis": "redis://:pass/word@127.0.0.1/0"}, "rediss:// for TLS|is a number"),
        ({"redis": "redis://127.0.0.1/first"}, "is a number"),
        ({"redis": "redis://127.0.0.1/-1"}, "is a number"),
        ({"redis": "unix:///run/redis.sock?db=first"}, "is a number"),
        ({"redis": "redis://127.0.0.1/0?decode_responses=True"}, "option that is not known"),
        ({"redis": "redis://127.0.0.1/0?socket_timeout=soon"}, "option that is not known"),
        ({"redis": "redis://127.0.0.1/0?ssl_check_hostname=true"}, "not known behind redis://"),
        ({"redis": "unix:///run/redis.sock?ssl_cert_reqs=none"}, "not known behind unix://"),
        ({"redis": "rediss://127.0.0.1/0?ssl_cert_reqs=soon"}, "none, optional or required"),
        ({"prefix": "a b"}, "pattern"),
    ],
)
def test_a_link_leads_one_way(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        LinkSettings.model_validate(given)


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1",
        "redis://:pass%23word@127.0.0.1:6380/3",
        "rediss://u:p@redis.internal/0?ssl_ca_certs=/etc/ssl/redis.pem",
        "unix:///run/redis.sock?db=2",
    ],
)
def test_redis_is_found_by_its_url(url: str) -> None:
    assert LinkSettings.model_validate({"redis": url}).redis is not None


def test_the_password_of_a_link_does_not_show() -> None:
    link = LinkSettings.model_validate({"redis": "redis://u:hidden@127.0.0.1"})
    assert "hidden" not in repr(link)


@pytest.mark.parametrize("name", ["credential_lifetime", "max_lifetime"])
def test_a_lifetime_ends_on_a_date(name: str) -> None:
    """`fairlead creds` met one beyond the year 9999 with a traceback, turnd one of 18 digits as no expiry at all."""
    with pytest.raises(ValidationError, match="less than or equal to 1000000000"):
        AuthSettings.model_validate({"max_lifetime": 0} | {name: 10**12})
