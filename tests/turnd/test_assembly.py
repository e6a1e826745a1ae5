"""From settings to the parts of a relay."""

import os

import pytest
from pydantic import SecretStr

from fairlead.clock import Now
from fairlead.config import AuthSettings, NamedSecret, SettingError, User
from fairlead.datagram import Address, Family
from fairlead.rates import RateSettings
from turnd.assembly import aliases, make_authenticator, make_challenges, make_nonces, make_policy, make_state
from turnd.config import LimitSettings, PeerSettings, RelaySettings, TurndSettings
from turnd.protocol.nonces import NonceMint
from turnd.protocol.peer_policy import PeerClass
from turnd.protocol.settings import RelayHost
from turnd.routes import Ports

HOSTS = {Family.IPV4: RelayHost("10.0.0.5", "198.51.100.1")}
ALICE = User(name="alice", password=SecretStr("wonderland"))


def test_every_setting_arrives() -> None:
    section = TurndSettings(relay=RelaySettings(ports="50000-50009"))
    state = make_state(AuthSettings(realm="here", users=(ALICE,)), section, HOSTS, (), os.urandom)
    assert state.settings.realm == "here"
    assert state.settings.max_permissions == section.quotas.permissions
    assert len(state.ports[Family.IPV4]) == 10
    assert state.quotas.limits.allocations_per_user == section.quotas.per_user


def test_a_turnd_that_was_started_again_numbers_no_allocation_as_before() -> None:
    auth = AuthSettings(realm="here", users=(ALICE,))
    runs = [make_state(auth, TurndSettings(), HOSTS, (), os.urandom).allocations.new_id() for _ in range(2)]
    assert abs(runs[0] - runs[1]) >= 1 << 20
    last = make_state(auth, TurndSettings(), HOSTS, (), lambda size: b"\xff" * size).allocations.new_id()
    assert last + (1 << 20) <= 1 << 53, "exact in JSON"


def test_an_engine_challenges_with_what_the_core_knows_again() -> None:
    limits = LimitSettings(challenges=RateSettings(rate=7, burst=8))
    state = make_state(AuthSettings(realm="here", users=(ALICE,)), TurndSettings(limits=limits), HOSTS, (), os.urandom)
    told = make_challenges(state)
    assert (told.realm, told.rate) == ("here", (7, 8))
    client, now = Address("192.0.2.1", 1), Now(0, 1_800_000_000)
    assert state.nonces.check(NonceMint(told.nonce_key).mint(client, now), client, now)


def test_a_fleet_shares_a_nonce_key() -> None:
    fleet = AuthSettings(nonce_key=SecretStr("one for all of us"))
    assert make_nonces(fleet, os.urandom).key == make_nonces(fleet, os.urandom).key
    assert make_nonces(AuthSettings(), os.urandom).key != make_nonces(AuthSettings(), os.urandom).key


def test_a_relay_that_admits_nobody_does_not_start() -> None:
    with pytest.raises(SettingError, match=r"auth\.secrets"):
        make_authenticator(AuthSettings(), None)


def test_secrets_keep_their_names_and_their_order() -> None:
    secrets = tuple(NamedSecret(name=name, value=SecretStr(name)) for name in ("current", "previous"))
    assert make_authenticator(AuthSettings(secrets=secrets), None).secret_names == ("current", "previous")


def test_only_an_address_behind_a_nat_has_an_alias() -> None:
    assert aliases(HOSTS) == {"198.51.100.1": "10.0.0.5"}
    assert aliases({Family.IPV4: RelayHost("192.0.2.1", "192.0.2.1")}) == {}


def test_the_policy_knows_our_own_addresses() -> None:
    section = TurndSettings(peers=PeerSettings(allow=("192.0.2.0/24",)))
    policy = make_policy(section, HOSTS, [Address("192.0.2.2", 3478)])
    assert policy.judge("10.0.0.5").ports is Ports.OWN_RELAYED
    assert policy.judge("198.51.100.1").peer_class is PeerClass.OWN_RELAY
    assert policy.judge("192.0.2.2", 3478).peer_class is PeerClass.OWN_LISTENER
    assert policy.judge("192.0.2.2", 3479).allowed
