"""From the configuration to what holds: who is let in, and with which credentials."""

import pytest

from fairlead.config import SettingError
from signal_api.origins import Origin
from signal_api.policy import read_policy
from tests.signal_api.worlds import DEFAULTS, configured


def test_without_a_secret_it_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(DEFAULTS, "FAIRLEAD__AUTH__SECRETS")
    with pytest.raises(SettingError, match=r"auth\.secrets: no secret.*fairlead up"):
        read_policy(configured())


def test_when_nobody_could_come_in_it_does_not_start() -> None:
    with pytest.raises(SettingError, match=r"signal_api\.jwt: nobody could come in.*join_key"):
        read_policy(configured(jwt=None, join_key=None))


@pytest.mark.parametrize("keys", [{"jwt": None}, {"join_key": None}, {"jwt": None, "join_key": None, "demo": True}])
def test_one_way_in_is_enough(keys: dict[str, object]) -> None:
    policy = read_policy(configured(**keys))
    assert policy.is_demo is ("demo" in keys)


def test_the_first_secret_makes_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "[{name: current, value: new}, {name: previous, value: old}]"
    monkeypatch.setitem(DEFAULTS, "FAIRLEAD__AUTH__SECRETS", rows)
    monkeypatch.setitem(DEFAULTS, "FAIRLEAD__AUTH__CREDENTIAL_LIFETIME", "600")
    issuer = read_policy(configured()).issuer
    assert (issuer.secret, issuer.lifetime) == (b"new", 600)


def test_turns_is_told_only_with_a_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not any(uri.startswith("turns:") for uri in read_policy(configured()).issuer.urls.turn)
    monkeypatch.setitem(DEFAULTS, "FAIRLEAD__TLS__CERTIFICATE", "/etc/cert.pem")
    monkeypatch.setitem(DEFAULTS, "FAIRLEAD__TLS__KEY", "/etc/key.pem")
    assert read_policy(configured()).issuer.urls.turn[-1] == "turns:{host}:5349?transport=tcp"


def test_names_and_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DEFAULTS, "FAIRLEAD__PUBLIC_HOST", "Turn.Example")
    policy = read_policy(configured(hosts=["signal.example"], origins=["https://app.example"]))
    assert policy.entrance.names == {"turn.example", "signal.example"}
    assert policy.entrance.origins == {Origin("https", "app.example", 443)}
    assert policy.public_host == "Turn.Example"


def test_rates() -> None:
    policy = read_policy(configured())
    assert policy.frame_rate == (50, 200)
    assert policy.connect_rate == (20, 200)
    assert policy.ice_rate == (0.5, 30)
