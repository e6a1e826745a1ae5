"""Who wants which port, and where two of them want the same one."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from fairlead.config import Key, SettingError, key_text
from fairlead.datagram import Address, Transport
from fairlead.listeners import Listener
from fairlead.udp import is_wildcard
from fairlead_cli.check.finding import Finding, found, refused
from fairlead_cli.configuration import Configuration
from fairlead_cli.endpoints import unfitting_uris
from stund.config import StundSettings
from turnd.addresses import relay_hosts
from turnd.config import TurndSettings


class Claim(NamedTuple):
    """A listener that is configured under a key."""

    key: Key
    listener: Listener

    @property
    def daemon(self) -> str:
        return str(self.key[0])

    def __str__(self) -> str:
        return f"{self.listener} ({key_text(self.key)})"


def find_occupancy(configuration: Configuration, machine: list[str]) -> Iterator[Finding]:
    """Ports that are wanted twice, and URIs that lead nowhere. `machine` are the addresses of this machine."""
    claims = list(all_claims(configuration))
    yield from _collisions(configuration, claims)
    yield from _in_relay_range(configuration, claims, machine)
    for kind, fitting in unfitting_uris(configuration).items():
        yield found(
            configuration,
            ("signal_api", "ice", kind),
            "clients would be told ports that nobody opens",
            f"write [{', '.join(fitting)}] (`fairlead up` does so by itself)",
        )


def all_claims(configuration: Configuration) -> Iterator[Claim]:
    """Every listener of every daemon, those for TLS only with a certificate."""
    sections: dict[str, StundSettings | TurndSettings] = {"stund": configuration.stund, "turnd": configuration.turnd}
    for name, section in sections.items():
        yield from _numbered((name, "listen"), section.listen)
        if configuration.has_certificate:
            yield from _numbered((name, "listen_tls"), section.listen_tls)
        yield Claim((name, "ops"), Listener(Transport.TCP, *section.ops_address))
    yield Claim(("signal_api", "listen"), configuration.signal_api.listener)
    yield Claim(("signal_api", "ops"), Listener(Transport.TCP, *configuration.signal_api.ops_address))


def _numbered(key: Key, listeners: Sequence[Listener]) -> Iterator[Claim]:
    for index, listener in enumerate(listeners):
        yield Claim((*key, index), listener)


def _collisions(configuration: Configuration, claims: Iterable[Claim]) -> Iterator[Finding]:
    for first, second in itertools.combinations(claims, 2):
        # A daemon opens what is listed twice once.
        is_repeated = first.daemon == second.daemon and first.listener == second.listener
        if not is_repeated and _collide(first.listener, second.listener):
            wrong = f"{second.listener} is wanted by {first} as well"
            yield found(configuration, second.key, wrong, "write another port in one of the two", fatal=True)


def _collide(one: Listener, other: Listener) -> bool:
    return one.transport.is_stream == other.transport.is_stream and any(
        here.port == there.port != 0 and _overlap(here, there) for here in one.addresses for there in other.addresses
    )


def _overlap(one: Address, other: Address) -> bool:
    """Sockets of IPv6 take no IPv4 here, so that the families have their ports to themselves."""
    return one.family is other.family and (one.host == other.host or is_wildcard(one.host) or is_wildcard(other.host))


def _in_relay_range(configuration: Configuration, claims: Iterable[Claim], machine: list[str]) -> Iterator[Finding]:
    relay = configuration.turnd.relay
    try:
        hosts = [host.bound for host in relay_hosts(relay, machine).values()]
    except SettingError as error:
        yield refused(configuration, error)
        return
    first, last = relay.port_range
    for claim in claims:
        inside = first <= claim.listener.port <= last and not claim.listener.transport.is_stream
        relayed = [Address(host, claim.listener.port) for host in hosts]
        if inside and any(_overlap(here, there) for here in claim.listener.addresses for there in relayed):
            yield found(
                configuration,
                claim.key,
                f"{claim.listener} lies in turnd.relay.ports ({relay.ports}), where an allocation may take it first",
                "write a port outside that range, or another range",
            )
