"""Whom a client can reach through turnd: every special address in every form, at every verb, with sockets that would
hear what gets through."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, ip_address, ip_network
from typing import NamedTuple

import pytest

from fairlead.datagram import Address, Family
from fairlead.stun.attributes import DONT_FRAGMENT
from tests.loopback import require_ipv6
from tests.network import PUBLIC_IPV4, PUBLIC_IPV6
from tests.processes import Daemon, Daemons
from tests.turn_client import Peer, Sockets, TurnClient
from tests.turnd.protocol.encodings import ENCODINGS, SPECIAL_IPV4, SPECIAL_IPV6
from turnd.protocol.peer_policy import NEVER, PeerClass

_TUNNELS = {"teredo": PeerClass.TEREDO, "six_to_four": PeerClass.SIX_TO_FOUR}
#: The first and the last address of every special network, plain and in every encoding, with what each is for.
_IPV4 = {ip_network(network)[place]: kind for network, kind in SPECIAL_IPV4.items() for place in (0, -1)}
_IPV6 = {ip_network(network)[place]: kind for network, kind in SPECIAL_IPV6.items() for place in (0, -1)}
_ENCODED = {
    encode(host): _TUNNELS.get(name, kind)
    for host, kind in _IPV4.items()
    if isinstance(host, IPv4Address)
    for name, encode in ENCODINGS.items()
}
SPECIAL: Mapping[str, PeerClass] = {str(host): kind for host, kind in (_IPV6 | _ENCODED | _IPV4).items()}
#: The last address that the local NAT64 prefix has is broadcast behind it.
_NAT64_BROADCAST = str(ip_network("64:ff9b:1::/48")[-1])

#: Allowed where the plain address is, but no socket sends to them that is for IPv6 alone, as ours are.
_MAPPED = ip_network("::ffff:0:0/96")

_PUBLIC = {"address": [PUBLIC_IPV4, PUBLIC_IPV6]}
_UNLIMITED = {"permissions": 1000, "channels": 1000}

#: Hosts that one client tries, with three requests for each.
_AT_ONCE = 80

both_families = pytest.mark.parametrize("family", Family, ids=lambda family: family.name)


class Attempt(NamedTuple):
    """What became of one peer: the codes of CreatePermission and ChannelBind, and what was heard of what was sent to
    it by two forms of Send and by ChannelData."""

    codes: tuple[int, int]
    heard: list[bytes]


def attempts(
    enter: Callable[[], TurnClient], canaries: Mapping[Family, Peer], hosts: Sequence[str]
) -> Iterator[tuple[str, Attempt]]:
    """Tries every verb on each of the hosts, at its canary's port. A client asks no more than its share."""
    for first in range(0, len(hosts), _AT_ONCE):
        yield from _attempts_of(enter(), canaries, hosts[first : first + _AT_ONCE])


def _attempts_of(
    client: TurnClient, canaries: Mapping[Family, Peer], hosts: Sequence[str]
) -> Iterator[tuple[str, Attempt]]:
    for number, host in enumerate(hosts, 0x4000):
        canary, data = canaries[Address(host, 0).family], host.encode()
        peer = Address(host, canary.address.port)
        codes = client.permit(peer).code, client.bind(number, peer).code
        client.indicate(peer, data)
        client.indicate(peer, data, (DONT_FRAGMENT, True))
        client.send(number, data)
        # When this is answered, what went before has been dealt with.
        assert client.refresh().code == 0
        yield host, Attempt(codes, canary.heard())


def everywhere(sockets: Sockets) -> dict[Family, Peer]:
    """Canaries on all addresses of this machine."""
    return {Family.IPV4: sockets.peer("0.0.0.0"), Family.IPV6: sockets.peer("::")}


def allocating(daemon: Daemon, sockets: Sockets, family: Family) -> Callable[[], TurnClient]:
    """Makes clients that have an allocation of this family."""

    def enter() -> TurnClient:
        client = sockets.client(daemon)
        client.allocated(family=family)
        return client

    return enter


def refusal(host: str, family: Family) -> tuple[int, int]:
    """The codes that a special peer gets on an allocation of this family."""
    return (403, 403) if Address(host, 0).family is family else (443, 443)


@both_families
def test_no_special_address_is_reached(daemons: Daemons, sockets: Sockets, family: Family) -> None:
    require_ipv6()
    turnd = daemons.turnd(relay={"address": ["127.0.0.2", "::1"]})
    enter = allocating(turnd, sockets, family)
    relay = {Family.IPV4: "127.0.0.2", Family.IPV6: "::1"}[family]
    hosts = [host for host in SPECIAL if host != relay]
    for host, attempt in attempts(enter, everywhere(sockets), hosts):
        assert attempt == (refusal(host, family), []), host
    # Every attempt to send was counted, and every verdict of the policy.
    metrics = turnd.metrics()
    dropped = metrics.by("turnd_dropped_total", "reason")
    assert sum(dropped.values()) == 3 * len(hosts)
    assert set(dropped) == {"no_permission", "no_channel", "peer_family", "peer_denied"}
    judged = [host for host in hosts if Address(host, 0).family is family]
    assert metrics.sum("turnd_peer_denied_total") == 3 * len(judged)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_loopback_is_reached_where_it_is_allowed(daemons: Daemons, sockets: Sockets, host: str) -> None:
    require_ipv6()
    turnd = daemons.turnd(relay={"address": ["127.0.0.2", "::1"]}, peers={"allow": [host]})
    enter = allocating(turnd, sockets, Address(host, 0).family)
    assert dict(attempts(enter, everywhere(sockets), [host])) == {host: ((0, 0), [host.encode()] * 3)}


@pytest.mark.usefixtures("own_network")
class TestWhereEveryAddressIsHeard:
    """In a network in which every address is this machine's, so that canaries sit at each of them."""

    @both_families
    def test_nothing_is_heard_by_default(self, daemons: Daemons, sockets: Sockets, family: Family) -> None:
        enter = allocating(daemons.turnd(relay=_PUBLIC, quotas=_UNLIMITED), sockets, family)
        for host, attempt in attempts(enter, everywhere(sockets), list(SPECIAL)):
            assert attempt == (refusal(host, family), []), host

    @both_families
    def test_all_is_heard_that_is_allowed_but_for_what_never_is(
        self, daemons: Daemons, sockets: Sockets, family: Family
    ) -> None:
        allowed = sorted({str(kind) for kind in SPECIAL.values() if kind not in NEVER})
        turnd = daemons.turnd(relay=_PUBLIC, quotas=_UNLIMITED, peers={"allow": allowed})
        enter = allocating(turnd, sockets, family)
        hosts = [host for host in SPECIAL if Address(host, 0).family is family]
        for host, attempt in attempts(enter, everywhere(sockets), hosts):
            if SPECIAL[host] in NEVER or host == _NAT64_BROADCAST:
                assert attempt == ((403, 403), []), host
            elif ip_address(host) in _MAPPED:
                assert attempt == ((0, 0), []), host
            else:
                assert attempt == ((0, 0), [host.encode()] * 3), host

    def test_the_canaries_hear_tunnels_too(self, sockets: Sockets) -> None:
        """That nothing is relayed to these is not for want of ears."""
        canary, sender = everywhere(sockets)[Family.IPV6], sockets.peer(PUBLIC_IPV6)
        tunnels = ip_network("2001::/32"), ip_network("2002::/16")
        for host in (host for host in SPECIAL if any(ip_address(host) in tunnel for tunnel in tunnels)):
            sender.send(host.encode(), Address(host, canary.address.port))
            assert canary.heard() == [host.encode()]
