from pathlib import Path

import pytest

from fairlead_cli.check.trust import find_trust
from tests.fairlead_cli.kit import COMPLETE, configure

PRIVATE, PUBLIC = ["127.0.0.1", "10.0.0.7"], ["127.0.0.1", "20.0.0.7"]
PUBLIC_NAME = "public_host: turn.example.org\n"


def told(folder: Path, text: str, machine: list[str] = PRIVATE) -> dict[str, str]:
    """What is wrong, by its key. Nothing of it is fatal."""
    findings = list(find_trust(configure(folder, text), machine))
    assert not any(finding.fatal for finding in findings)
    return {".".join(map(str, finding.problem.key)): finding.problem.wrong for finding in findings}


def test_nothing_is_told_of_what_is_complete(tmp_path: Path) -> None:
    assert told(tmp_path, COMPLETE) == {}


def test_daemons_by_themselves_need_a_secret_and_a_way_in(tmp_path: Path) -> None:
    assert told(tmp_path, "") == {
        "auth.secrets": "there is no secret to make credentials with: neither turnd nor signal_api starts by itself",
        "signal_api.jwt": "signal_api does not start by itself: nobody could come in: no key is configured",
    }


def test_users_are_enough_for_turnd(tmp_path: Path) -> None:
    users = "auth: {users: [{name: camera, password: swordfish}]}\nsignal_api: {demo: true}"
    assert told(tmp_path, users) == {
        "auth.secrets": "there is no secret to make credentials with: signal_api does not start by itself"
    }


def test_a_secret_that_can_be_guessed(tmp_path: Path) -> None:
    secrets = "auth: {secrets: [{name: a, value: 0123456789abcdef}, {name: b, value: 0123456789abcde}]}\n"
    (key,) = told(tmp_path, secrets + "signal_api: {demo: true}")
    assert key == "auth.secrets.1.value"


def test_a_demo_in_public(tmp_path: Path) -> None:
    assert told(tmp_path, COMPLETE + "  demo: true") == {}
    (key,) = told(tmp_path, COMPLETE + "  demo: true\n" + PUBLIC_NAME, PUBLIC)
    assert key == "signal_api.demo"


@pytest.mark.parametrize(
    ("peers", "is_told"),
    [
        ("{allow: [private]}", False),
        ("{allow: [10.0.0.0/8]}", False),
        ("{allow: [link_local]}", False),
        ("{allow: [metadata]}", True),
        ("{allow: [169.254.0.0/16]}", True),
        ("{allow: [loopback]}", True),
        ("{allow: [169.254.0.0/16], deny: [169.254.169.254]}", False),
    ],
)
def test_peers_that_hold_keys(tmp_path: Path, peers: str, is_told: bool) -> None:
    assert ("turnd.peers.allow" in told(tmp_path, f"{COMPLETE}\nturnd: {{peers: {peers}}}")) is is_told


@pytest.mark.parametrize(("expiry", "is_told"), [("allocate", False), ("refresh", True), ("cut", True)])
def test_calls_that_end_with_their_credential(tmp_path: Path, expiry: str, is_told: bool) -> None:
    turnd = f"turnd: {{expiry: {expiry}}}\n"
    assert ("turnd.expiry" in told(tmp_path, COMPLETE + turnd)) is is_told
    long = COMPLETE.replace("auth:", "auth:\n  credential_lifetime: 43200")
    assert told(tmp_path, long + turnd) == {}


@pytest.mark.parametrize(
    ("more", "machine", "is_told"),
    [
        (PUBLIC_NAME, PRIVATE, True),
        (PUBLIC_NAME, PUBLIC, False),
        (PUBLIC_NAME, [*PRIVATE, "2600::7"], False),
        ("public_host: 10.0.0.7\n", PRIVATE, False),
        ("", PRIVATE, False),
        (PUBLIC_NAME + "turnd: {relay: {advertise: [20.0.0.7]}}", PRIVATE, False),
        (PUBLIC_NAME + "turnd: {relay: {address: [10.0.0.7]}}", PRIVATE, False),
    ],
)
def test_a_relay_behind_a_nat_that_says_nothing(tmp_path: Path, more: str, machine: list[str], is_told: bool) -> None:
    assert ("turnd.relay.advertise" in told(tmp_path, COMPLETE + more, machine)) is is_told
