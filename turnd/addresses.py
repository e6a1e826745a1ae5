"""Which addresses this machine has, and which of them relay sockets are bound to."""

import ipaddress

import ifaddr

from fairlead.config import SettingError
from fairlead.datagram import Address, Family
from turnd.config import RelaySettings
from turnd.protocol.settings import RelayHost

_LOOPBACK = {Family.IPV4: "127.0.0.1", Family.IPV6: "::1"}


def machine_hosts() -> list[str]:
    """The IP addresses of all interfaces in the system's order, link-local IPv6 left out."""
    hosts = []
    for adapter in ifaddr.get_adapters():
        for address in adapter.ips:
            host = address.ip if isinstance(address.ip, str) else address.ip[0]
            if not ipaddress.ip_address(host).is_link_local:
                hosts.append(str(ipaddress.ip_address(host)))
    return hosts


def relay_hosts(settings: RelaySettings, machine: list[str]) -> dict[Family, RelayHost]:
    """The relay address of each family: what is configured, else the machine's first that is not loopback, else
    loopback where the machine has it. With `address` given, no other family is relayed.

    Raises SettingError for a told address without a bound one of its family.
    """
    bound = {_family(host): host for host in settings.address} if settings.address else _chosen(machine)
    told = {_family(host): host for host in settings.advertise}
    for family, host in told.items():
        if family not in bound:
            raise SettingError(
                ("turnd", "relay", "advertise"),
                f"{host} is advertised, but no relay address of its family is bound",
                "name the address of this machine that it stands for in turnd.relay.address",
            )
    return {family: RelayHost(host, told.get(family, host)) for family, host in bound.items()}


def _chosen(machine: list[str]) -> dict[Family, str]:
    chosen: dict[Family, str] = {}
    for family, loopback in _LOOPBACK.items():
        own = [host for host in machine if _family(host) is family]
        outside = [host for host in own if not ipaddress.ip_address(host).is_loopback]
        if outside:
            chosen[family] = outside[0]
        elif loopback in own:
            chosen[family] = loopback
    return chosen


def _family(host: str) -> Family:
    return Address(host, 0).family


def reached_at(bound: Address, machine: list[str]) -> list[Address]:
    """The addresses at which a socket is reached: its own, or with a wildcard the machine's of that family."""
    if not ipaddress.ip_address(bound.host).is_unspecified:
        return [bound]
    return [Address(host, bound.port) for host in machine if _family(host) is bound.family]
