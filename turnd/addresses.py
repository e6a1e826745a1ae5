"""Which addresses this machine has, and which of them relay sockets are bound to."""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable

import ifaddr

from fairlead.config import SettingError
from fairlead.datagram import Address, Family
from fairlead.log import get_logger
from turnd.config import RelaySettings
from turnd.protocol.settings import RelayHost

_log = get_logger("turnd")

_LOOPBACK = ("127.0.0.1", "::1")

#: Seconds between two looks at the addresses of this machine: for so long a new one is a peer like any other.
LOOK_INTERVAL = 2.0
#: With thousands of addresses a look takes tenths of a second: so many times as long nobody looks again.
_RESTS = 100


def machine_hosts() -> list[str]:
    """The IP addresses of all interfaces in the system's order, link-local IPv6 left out."""
    hosts = []
    for adapter in ifaddr.get_adapters():
        for address in adapter.ips:
            host = address.ip if isinstance(address.ip, str) else address.ip[0]
            if not ipaddress.ip_address(host).is_link_local:
                hosts.append(str(ipaddress.ip_address(host)))
    return hosts


class Machine:
    """The addresses that this machine has: a failover, DHCP or IPv6 itself gives it others while we run."""

    def __init__(
        self, read: Callable[[], list[str]] = machine_hosts, spent: Callable[[], float] = time.thread_time
    ) -> None:
        """`spent` says how many seconds of CPU the thread has had. Raises OSError where they cannot be read."""
        self._read = read
        self._spent = spent
        self.hosts = read()
        self._problem: str | None = None
        #: seconds until the next look is due
        self.rest = LOOK_INTERVAL

    def look(self) -> bool:
        """Whether they are others than before. Where they cannot be read those of before hold, which is logged once."""
        return self._take(self._try_to_read())

    async def look_aside(self) -> bool:
        """As look, in a thread: the loop goes on meanwhile."""
        return self._take(await asyncio.to_thread(self._try_to_read))

    def _try_to_read(self) -> list[str] | OSError:
        began = self._spent()
        try:
            return self._read()
        except OSError as error:
            return error
        finally:
            self.rest = max(LOOK_INTERVAL, _RESTS * (self._spent() - began))

    def _take(self, hosts: list[str] | OSError) -> bool:
        if isinstance(hosts, OSError):
            if str(hosts) != self._problem:
                _log.warning("the addresses of this machine cannot be read, those of before hold", problem=str(hosts))
            self._problem = str(hosts)
            return False
        self._problem = None
        came, went = set(hosts) - set(self.hosts), set(self.hosts) - set(hosts)
        if came or went:
            _log.info("this machine has other addresses", came=sorted(came), went=sorted(went))
            self.hosts = hosts
        return bool(came or went)


def relay_hosts(settings: RelaySettings, machine: list[str]) -> dict[Family, RelayHost]:
    """The relay address of each family: what is configured, else the machine's first that is not loopback; loopback
    where the machine has nothing else in any family. With `address` given, no other family is relayed.

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


def relay_problem(host: str) -> str | None:
    """Why no socket can be bound to a relay address, None when one can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError as error:
        return error.strerror or str(error)
    return None


def _chosen(machine: list[str]) -> dict[Family, str]:
    outside = [host for host in machine if not ipaddress.ip_address(host).is_loopback]
    hosts = outside or [host for host in _LOOPBACK if host in machine]
    chosen: dict[Family, str] = {}
    for host in hosts:
        chosen.setdefault(_family(host), host)
    return chosen


def _family(host: str) -> Family:
    return Address(host, 0).family


def reached_at(bound: Address, machine: list[str]) -> list[Address]:
    """The addresses at which a socket is reached: its own, or with a wildcard the machine's of that family."""
    if not ipaddress.ip_address(bound.host).is_unspecified:
        return [bound]
    return [Address(host, bound.port) for host in machine if _family(host) is bound.family]
