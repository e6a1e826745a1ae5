"""The peer policy at every verb: all special-purpose addresses, however written, towards both address families."""

import ipaddress
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address

import pytest

from fairlead.datagram import Address, Family
from fairlead.reasons import Reason
from fairlead.stun.attributes import XOR_PEER_ADDRESS
from fairlead.stun.header import Method
from tests.turnd.kit import HOSTS, PEER, PEER6, SERVER, Client, World
from tests.turnd.protocol.encodings import ENCODINGS, SPECIAL_IPV4, SPECIAL_IPV6
from turnd.protocol.peer_policy import PeerClass, PeerPolicy
from turnd.routes import Permission, Ports, RelayId

Written = Callable[[IPv4Address], IPv4Address | IPv6Address]
LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")
WAYS: dict[str, Written] = {"plain": lambda address: address, **ENCODINGS}


def allocated(family: Family, world: World | None = None) -> tuple[World, Client]:
    world = world or World()
    client = Client(world)
    client.allocated(family=family)
    return world, client


def ends(networks: dict[str, PeerClass]) -> Iterator[tuple[IPv4Address | IPv6Address, PeerClass]]:
    """The first and the last address of each network, with the class of the narrowest network around it."""
    table = {ipaddress.ip_network(text): peer_class for text, peer_class in networks.items()}
    for network in table:
        for address in (network[0], network[-1]):
            narrowest = max((other for other in table if address in other), key=lambda other: other.prefixlen)
            yield address, table[narrowest]


def assert_out_of_reach(client: Client, host: str) -> None:
    """403 from requests and silence from Send where the family is right, else 443 and silence; never a route."""
    world, peer = client.world, Address(host, 9000)
    fits = peer.family is client_family(client)
    counters = world.state.counters
    denied, dropped = counters.peer_denied.total(), counters.dropped.copy()
    assert client.permit(peer).code == (403 if fits else 443), host
    assert client.bind(0x4000, peer).code == (403 if fits else 443), host
    assert not client.send(peer)
    assert counters.dropped - dropped == {Reason.PEER_DENIED if fits else Reason.PEER_FAMILY: 1}
    assert counters.peer_denied.total() - denied == (3 if fits else 0)
    assert not world.routes


def client_family(client: Client) -> Family:
    return client.world.state.allocations.by_five_tuple[client.five_tuple].family


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("way", WAYS)
def test_special_purpose_ipv4_addresses_are_out_of_reach(way: str, family: Family) -> None:
    _, client = allocated(family)
    for address, _ in ends(SPECIAL_IPV4):
        assert isinstance(address, IPv4Address)
        assert_out_of_reach(client, str(WAYS[way](address)))


@pytest.mark.parametrize("family", Family)
def test_special_purpose_ipv6_addresses_are_out_of_reach(family: Family) -> None:
    _, client = allocated(family)
    for address, _ in ends(SPECIAL_IPV6):
        assert_out_of_reach(client, str(address))


@pytest.mark.parametrize(("family", "networks"), [(Family.IPV4, SPECIAL_IPV4), (Family.IPV6, SPECIAL_IPV6)])
def test_the_class_of_a_denied_peer_is_counted(family: Family, networks: dict[str, PeerClass]) -> None:
    world, client = allocated(family)
    for address, peer_class in ends(networks):
        if address in LOCAL_NAT64:  # judged as the IPv4 address inside as well
            continue
        world.state.counters.peer_denied.clear()
        client.permit(Address(str(address), 0))
        assert world.state.counters.peer_denied == {peer_class: 1}, address


@pytest.mark.parametrize(("family", "peer"), [(Family.IPV4, PEER), (Family.IPV6, PEER6)])
def test_a_public_peer_is_within_reach(family: Family, peer: Address) -> None:
    """The canary: what is refused above is refused for its address, not for something else."""
    world, client = allocated(family)
    assert client.permit(peer).code == 0
    assert client.bind(0x4000, peer).code == 0
    assert client.send(peer)
    assert not world.state.counters.peer_denied


@pytest.mark.parametrize("family", Family)
def test_our_own_relayed_addresses_are_permitted_at_relayed_ports_only(family: Family) -> None:
    """Two clients behind the same server reach each other; the engine looks at the port of each packet."""
    world, client = allocated(family)
    host = HOSTS[family].bound
    assert client.permit(Address(host, 0)).code == 0
    assert world.routes == {Permission(RelayId(1), host, Ports.OWN_RELAYED)}


@pytest.mark.parametrize("way", ["bind", "send"])
def test_our_own_listener_is_never_a_peer(way: str) -> None:
    """The host may be permitted for the sake of its relayed ports; the listener's port is not one of them."""
    policy = PeerPolicy.parse(own_relays=[SERVER.host], own_listeners=[SERVER])
    world, client = allocated(Family.IPV4, World(policy=policy))
    assert client.permit(SERVER).code == 0
    if way == "bind":
        assert client.bind(0x4000, SERVER).code == 403
        assert client.bind(0x4000, Address(SERVER.host, 50001)).code == 0
    else:
        assert not client.send(SERVER)
        assert world.state.counters.dropped == {Reason.PEER_DENIED: 1}


def test_the_operator_is_told_why() -> None:
    """The error says 403 and no more; what the policy thinks of the address is for the operator."""
    world, client = allocated(Family.IPV4)
    reply = client.ask(Method.CREATE_PERMISSION, (XOR_PEER_ADDRESS, Address("10.0.0.1", 0)))
    assert reply.code == 403
    assert b"private" not in reply.data
    assert "peer 10.0.0.1 denied: class private" in repr(world.done[-1])
