"""Where clients find the daemons: URIs, pages and ports, as the configuration opens them."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fairlead.datagram import Address, Transport
from fairlead.listeners import Listener
from fairlead.probe import Target
from fairlead.udp import is_wildcard
from fairlead_cli.configuration import Configuration
from turnd.addresses import reached_at

_SCHEMES = {Transport.UDP: "turn", Transport.TCP: "turn", Transport.TLS: "turns"}
#: A URI says over what a client comes; TLS is carried by TCP (RFC 7065 section 3.1).
_CARRIERS = {Transport.UDP: "udp", Transport.TCP: "tcp", Transport.TLS: "tcp"}


class Uris(NamedTuple):
    """URIs with `{host}` where the name of the server goes; `turns` only where there is a certificate."""

    stun: tuple[str, ...]
    turn: tuple[str, ...]
    turns: tuple[str, ...]


def opened_uris(configuration: Configuration) -> Uris:
    """The URIs of the listeners. A port that the system chooses has none."""
    named = configuration.shared.public_host is not None
    stund, turnd = configuration.stund, configuration.turnd
    stun = [f"stun:{_host(one, named)}:{one.port}" for one in stund.listen if one.transport is Transport.UDP]
    secure = turnd.listen_tls if configuration.has_certificate else ()
    return Uris(
        tuple(dict.fromkeys(uri for uri in stun if not uri.endswith(":0"))),
        tuple(_turn_uris(turnd.listen, named)),
        tuple(_turn_uris(secure, named)),
    )


def told_uris(configuration: Configuration) -> Uris:
    """The URIs that clients are told: what signal_api.ice says where it is written, else those of the listeners."""
    opened, ice = opened_uris(configuration), configuration.signal_api.ice
    written = [configuration.is_written("signal_api", "ice", kind) for kind in Uris._fields]
    turns = ice.turns if configuration.has_certificate else ()
    stun, turn, turns = (
        said if is_written else found
        for said, is_written, found in zip((ice.stun, ice.turn, turns), written, opened, strict=True)
    )
    return Uris(stun, turn, turns)


def unfitting_uris(configuration: Configuration) -> dict[str, tuple[str, ...]]:
    """The keys of signal_api.ice whose defaults name ports that nobody opens, with what would fit them."""
    opened, ice = opened_uris(configuration), configuration.signal_api.ice
    kinds = [("stun", ice.stun, opened.stun), ("turn", ice.turn, opened.turn)]
    if configuration.has_certificate:
        kinds.append(("turns", ice.turns, opened.turns))
    return {
        kind: fitting
        for kind, told, fitting in kinds
        if told != fitting and not configuration.is_written("signal_api", "ice", kind)
    }


def _turn_uris(listeners: Iterable[Listener], named: bool) -> Iterator[str]:
    for listener in dict.fromkeys(listeners):
        if listener.port and listener.transport in _SCHEMES:
            scheme, carrier = _SCHEMES[listener.transport], _CARRIERS[listener.transport]
            yield f"{scheme}:{_host(listener, named)}:{listener.port}?transport={carrier}"


def _host(listener: Listener, named: bool) -> str:
    """The listener's own address, where it has one and the configuration names none for the public."""
    if named or all(is_wildcard(address.host) for address in listener.addresses):
        return "{host}"
    return bracketed(listener.host)


def bracketed(host: str) -> str:
    """The host as it stands in a URI."""
    return f"[{host}]" if ":" in host else host


def told_hosts(configuration: Configuration, machine: Iterable[str]) -> list[str]:
    """What `{host}` stands for: public_host, or the machine's addresses with those of loopback last."""
    if configuration.shared.public_host is not None:
        return [configuration.shared.public_host]
    return sorted(machine, key=_is_loopback) or ["localhost"]


def page_urls(configuration: Configuration, machine: list[str]) -> list[str]:
    """Where signal_api is reached over HTTP, this machine's own way first."""
    listener = configuration.signal_api.listener
    reached = [address for bound in listener.addresses for address in reached_at(bound, machine)]
    hosts = sorted((address.host for address in reached), key=lambda host: not _is_loopback(host))
    names = ["localhost" if _is_loopback(host) else bracketed(host) for host in hosts]
    if configuration.shared.public_host is not None:
        names.append(bracketed(configuration.shared.public_host))
    return [f"http://{name}:{listener.port}/" for name in dict.fromkeys(names)]


def ops_addresses(configuration: Configuration) -> dict[str, Address]:
    """Where each daemon's ops port is asked from this machine; a wildcard over loopback."""
    sections = {"stund": configuration.stund, "turnd": configuration.turnd, "signal_api": configuration.signal_api}
    return {name: Target(Transport.TCP, section.ops_address).reachable for name, section in sections.items()}


def _is_loopback(host: str) -> bool:
    return host == "::1" or host.startswith("127.")
