"""Keys of back ends."""

import pytest

from fairlead.config import ConfigError
from signal_api.api_keys import ApiKey, Keyring, Scope, digest_of
from signal_api.policy import read_policy
from tests.signal_api.worlds import configured

KEY = "a-key-of-some-back-end-0001"
READ = frozenset({Scope.ROOMS_READ})


def test_a_key_is_found_by_itself_alone() -> None:
    ring = Keyring((ApiKey("a", digest_of("one"), READ), ApiKey("b", digest_of("two"), READ)))
    found = ring.find("two")
    assert found is not None
    assert found.name == "b"
    for wrong in ("", "tw", "two ", "Two", "three", "é" * 9):
        assert ring.find(wrong) is None
    assert Keyring().find("") is None


@pytest.mark.parametrize("kept", [{"value": KEY}, {"hash": digest_of(KEY).hex()}])
def test_a_key_is_configured_as_it_is_or_by_its_hash(kept: dict[str, str]) -> None:
    policy = read_policy(configured(api_keys=[{"name": "a", "scopes": ["publish"]} | kept]))
    found = policy.keyring.find(KEY)
    assert found == ApiKey("a", digest_of(KEY), frozenset({Scope.PUBLISH}))
    assert KEY not in repr(policy)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ([{"name": "a", "scopes": ["publish"]}], "give value"),
        ([{"name": "a", "value": KEY, "hash": "0" * 64, "scopes": ["publish"]}], "not both"),
        ([{"name": "a", "value": "short", "scopes": ["publish"]}], "24 printable"),
        ([{"name": "a", "hash": "xyz", "scopes": ["publish"]}], "hash"),
        ([{"name": "a", "value": KEY, "scopes": []}], "scopes"),
        ([{"name": "a", "value": KEY, "scopes": ["everything"]}], "scopes"),
        ([{"name": "a", "value": KEY, "scopes": ["stats"]}] * 2, "stands twice"),
    ],
)
def test_a_wrong_key_is_named(keys: list[dict[str, object]], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        configured(api_keys=keys)
