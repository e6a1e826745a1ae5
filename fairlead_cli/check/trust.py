"""Who is let in, and how far: what is valid, starts, and is still not what anybody wants."""

import ipaddress
from collections.abc import Iterator

from fairlead.config import SettingError
from fairlead_cli.check.finding import Finding, found
from fairlead_cli.configuration import Configuration
from signal_api.policy import read_policy
from turnd.addresses import relay_hosts
from turnd.protocol.peer_policy import PeerPolicy
from turnd.protocol.settings import Expiry

#: characters; whoever has one credential can try out shorter secrets at home
_SHORTEST_SECRET = 16
#: seconds; nobody talks longer
_LONGEST_CALL = 43200
#: What no peers.allow should open without a thought.
_DELICATE = {
    "169.254.169.254": "the cloud's metadata service, which hands out this machine's keys",
    "127.0.0.1": "the services that listen on this machine's loopback, its ops ports among them",
    "::1": "the services that listen on this machine's loopback over IPv6",
}


def find_trust(configuration: Configuration, machine: list[str]) -> Iterator[Finding]:
    """Secrets, ways in, peers, expiry, and the address that peers are told."""
    yield from _starts_alone(configuration)
    yield from _short_secrets(configuration)
    yield from _open_door(configuration)
    yield from _opened_peers(configuration)
    yield from _cut_calls(configuration)
    yield from _hidden_relay(configuration, machine)


def _starts_alone(configuration: Configuration) -> Iterator[Finding]:
    """`fairlead up` brings a secret and a join key; a daemon that is started by itself has to be given them."""
    auth = configuration.shared.auth
    if not auth.secrets:
        who = "signal_api does not start" if auth.users else "neither turnd nor signal_api starts"
        wrong = f"there is no secret to make credentials with: {who} by itself"
        remedy = "make one with openssl rand -base64 32; `fairlead up` brings its own"
        yield found(configuration, ("auth", "secrets"), wrong, remedy)
    try:
        read_policy(configuration.loaded_signal_api)
    except SettingError as error:
        if auth.secrets or error.key != ("auth", "secrets"):
            yield found(configuration, error.key, f"signal_api does not start by itself: {error.wrong}", error.remedy)


def _short_secrets(configuration: Configuration) -> Iterator[Finding]:
    for index, secret in enumerate(configuration.shared.auth.secrets):
        if len(secret.value.get_secret_value()) < _SHORTEST_SECRET:
            wrong = f"shorter than {_SHORTEST_SECRET} characters: whoever has one credential can guess it"
            remedy = "make one with: openssl rand -base64 32"
            yield found(configuration, ("auth", "secrets", index, "value"), wrong, remedy)


def _open_door(configuration: Configuration) -> Iterator[Finding]:
    if configuration.signal_api.demo and configuration.shared.public_host is not None:
        wrong = "lets in without a token whoever comes over loopback, such as a reverse proxy that adds no headers"
        remedy = "write false where the public comes (public_host is set), and let tokens in by signal_api.jwt"
        yield found(configuration, ("signal_api", "demo"), wrong, remedy)


def _opened_peers(configuration: Configuration) -> Iterator[Finding]:
    peers = configuration.turnd.peers
    policy = PeerPolicy.parse(deny=peers.deny, allow=peers.allow)
    for host, what in _DELICATE.items():
        if policy.judge(host).allowed:
            wrong, remedy = f"clients may reach {host}: {what}", f"narrow it, or add {host} to turnd.peers.deny"
            yield found(configuration, ("turnd", "peers", "allow"), wrong, remedy)


def _cut_calls(configuration: Configuration) -> Iterator[Finding]:
    expiry, lifetime = configuration.turnd.expiry, configuration.shared.auth.credential_lifetime
    if expiry is not Expiry.ALLOCATE and lifetime < _LONGEST_CALL:
        wrong = f"a call loses its relay when its credential ends, {lifetime} s after it was made"
        remedy = f"write allocate, or an auth.credential_lifetime of the longest call ({_LONGEST_CALL} is half a day)"
        yield found(configuration, ("turnd", "expiry"), wrong, remedy)


def _hidden_relay(configuration: Configuration, machine: list[str]) -> Iterator[Finding]:
    """Behind a 1:1 NAT, as in most clouds, the machine does not know its public address."""
    relay, public = configuration.turnd.relay, configuration.shared.public_host
    if public is None or relay.address or relay.advertise or _is_private(public):
        return
    told = [host.told for host in relay_hosts(relay, machine).values()]
    if told and all(map(_is_private, told)):
        wrong = f"peers would be told {', '.join(told)}, which the public that public_host speaks of cannot reach"
        remedy = "write the public address; or name the private one in turnd.relay.address, if it is meant"
        yield found(configuration, ("turnd", "relay", "advertise"), wrong, remedy)


def _is_private(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False
