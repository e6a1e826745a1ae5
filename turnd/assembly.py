"""From settings to the parts of a relay."""

from collections.abc import Iterable, Mapping

from fairlead.buckets import BucketTable
from fairlead.clock import Entropy
from fairlead.config import AuthSettings, SettingError
from fairlead.datagram import Address, Family
from turnd.config import TurndSettings
from turnd.dataplane.contract import Challenges
from turnd.protocol.allocations import Allocations
from turnd.protocol.authentication import Authenticator, Revoked, Secret
from turnd.protocol.nonces import NonceMint
from turnd.protocol.peer_policy import PeerPolicy
from turnd.protocol.ports import PortPool
from turnd.protocol.quotas import Limits, Quotas
from turnd.protocol.settings import RelayHost, Settings
from turnd.protocol.state import State
from turnd.routes import Bandwidth

_KEY_BYTES = 32
#: Numbers of one run of turnd: they begin at a multiple of it that chance has drawn, and stay exact in JSON, whoever
#: reads it (below 2^53).
_SPAN = 1 << 20


def make_state(
    auth: AuthSettings,
    settings: TurndSettings,
    hosts: Mapping[Family, RelayHost],
    own_listeners: Iterable[Address],
    entropy: Entropy,
) -> State:
    """A relay's state with nothing alive yet. Raises SettingError where nobody could authenticate."""
    first, last = settings.relay.port_range
    return State(
        settings=make_settings(auth, settings, hosts),
        entropy=entropy,
        authenticator=make_authenticator(auth, None),
        nonces=make_nonces(auth, entropy),
        policy=make_policy(settings, hosts, own_listeners),
        ports={family: PortPool(first, last, settings.relay.port_hold) for family in hosts},
        quotas=Quotas(make_limits(settings)),
        challenges=BucketTable(settings.limits.buckets, entropy(_KEY_BYTES)),
        failures=BucketTable(settings.limits.buckets, entropy(_KEY_BYTES)),
        allocations=Allocations(last=int.from_bytes(entropy(4)) * _SPAN),
    )


def make_nonces(auth: AuthSettings, entropy: Entropy) -> NonceMint:
    return NonceMint(auth.nonce_key.get_secret_value().encode() if auth.nonce_key is not None else entropy(_KEY_BYTES))


def make_challenges(state: State) -> Challenges:
    """What an engine is told that challenges strangers for the core."""
    return Challenges(state.settings.realm, state.nonces.key, state.settings.challenge_rate)


def make_settings(auth: AuthSettings, settings: TurndSettings, hosts: Mapping[Family, RelayHost]) -> Settings:
    bandwidth = settings.quotas.bandwidth
    return Settings(
        realm=auth.realm,
        hosts=hosts,
        default_lifetime=settings.lifetime.default,
        max_lifetime=settings.lifetime.max,
        channel_range=settings.channel_range,
        expiry=settings.expiry,
        max_permissions=settings.quotas.permissions,
        max_channels=settings.quotas.channels,
        challenge_rate=settings.limits.challenges.as_rate,
        failure_rate=settings.limits.failures.as_rate,
        bandwidth=Bandwidth(bandwidth.allocation.as_rate, bandwidth.user.as_rate),
    )


def make_authenticator(auth: AuthSettings, revocations: Revoked | None) -> Authenticator:
    """Raises SettingError without a user and without a secret: a relay that admits nobody helps nobody."""
    if not auth.users and not auth.secrets:
        raise SettingError(
            ("auth",),
            "there is neither a secret nor a user, so that nobody could relay",
            "set auth.secrets (time-limited credentials, shared with signal_api) or auth.users",
        )
    users = {user.name: user.password.get_secret_value() for user in auth.users}
    secrets = [Secret(row.name, row.value.get_secret_value().encode()) for row in auth.secrets]
    return Authenticator(auth.realm, users, secrets, revocations, auth.max_lifetime)


def make_policy(
    settings: TurndSettings,
    hosts: Mapping[Family, RelayHost],
    own_listeners: Iterable[Address],
    own_hosts: Iterable[str] = (),
) -> PeerPolicy:
    return PeerPolicy.parse(
        deny=settings.peers.deny,
        allow=settings.peers.allow,
        own_relays=[host.bound for host in hosts.values()],
        own_listeners=own_listeners,
        own_hosts=own_hosts,
        aliases=aliases(hosts),
    )


def aliases(hosts: Mapping[Family, RelayHost]) -> dict[str, str]:
    """The bound host behind each advertised one, where they differ."""
    return {host.told: host.bound for host in hosts.values() if host.told != host.bound}


def make_limits(settings: TurndSettings) -> Limits:
    quotas = settings.quotas
    return Limits(quotas.allocations, quotas.per_user, quotas.per_source, quotas.burst, quotas.burst_seconds)
