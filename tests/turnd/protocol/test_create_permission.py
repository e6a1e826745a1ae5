"""CreatePermission beyond the RFC's own rules."""

from fairlead.datagram import Address, Family
from fairlead.stun.attributes import XOR_PEER_ADDRESS
from fairlead.stun.header import Method
from tests.turnd.kit import OTHER_PEER, PEER, START, Client, World
from turnd.protocol.effects import Send, SetRoute
from turnd.protocol.settings import RelayHost
from turnd.routes import Permission, Ports, RelayId


def test_routes_go_to_the_engine_before_the_reply() -> None:
    """Also those that are there already: refreshing sends them again."""
    alice = Client(World())
    alice.allocated()
    for _ in range(2):
        request = alice.signed(Method.CREATE_PERMISSION, (XOR_PEER_ADDRESS, PEER), (XOR_PEER_ADDRESS, OTHER_PEER))
        first, second, reply = alice.say(request)
        assert {first, second} == {
            SetRoute(Permission(RelayId(1), peer.host, Ports.ANY), START + 300) for peer in (PEER, OTHER_PEER)
        }
        assert isinstance(reply, Send)


def test_a_host_that_is_named_twice_is_one_permission() -> None:
    world = World(max_permissions=1)
    alice = Client(world)
    alice.allocated()
    assert alice.permit(PEER, Address(PEER.host, 1)).code == 0
    assert len(world.routes) == 1


def test_our_address_outside_stands_for_the_one_inside() -> None:
    """Permission is for the bound host, at relayed ports only, and a Send to the told one goes to the bound one."""
    world = World(hosts={Family.IPV4: RelayHost("10.0.0.5", "20.9.9.9")})
    alice, bob = Client(world), Client(world, "bob")
    alice.allocated()
    relayed = bob.allocated()
    assert alice.permit(relayed).code == 0
    assert world.routes == {Permission(RelayId(1), "10.0.0.5", Ports.OWN_RELAYED)}
    assert [sent.peer for sent in alice.send(relayed)] == [Address("10.0.0.5", relayed.port)]
