"""ChannelBind beyond the RFC's own rules."""

from fairlead.datagram import Address, Family
from fairlead.stun.attributes import CHANNEL_NUMBER, XOR_PEER_ADDRESS
from fairlead.stun.header import Method
from tests.turnd.kit import PEER, START, Client, World
from turnd.protocol.effects import Send, SetRoute
from turnd.protocol.settings import RelayHost
from turnd.routes import Channel, Permission, Ports, RelayId


def test_the_permission_goes_to_the_engine_before_the_channel_and_both_before_the_reply() -> None:
    """And refreshing sends both again."""
    alice = Client(World())
    alice.allocated()
    for _ in range(2):
        request = alice.signed(Method.CHANNEL_BIND, (CHANNEL_NUMBER, 0x4000), (XOR_PEER_ADDRESS, PEER))
        permission, channel, reply = alice.say(request)
        assert permission == SetRoute(Permission(RelayId(1), PEER.host, Ports.ANY), START + 300)
        assert channel == SetRoute(Channel(RelayId(1), 0x4000, PEER), START + 600)
        assert isinstance(reply, Send)


def test_port_0_is_no_peer() -> None:
    alice = Client(World())
    alice.allocated()
    assert alice.bind(0x4000, Address(PEER.host, 0)).code == 400


def test_a_peer_at_our_address_outside_is_bound_as_the_one_inside() -> None:
    """Behind a 1:1 NAT clients know each other by the address that they were told."""
    world = World(hosts={Family.IPV4: RelayHost("10.0.0.5", "20.9.9.9")})
    alice, bob = Client(world), Client(world, "bob")
    alice.allocated()
    relayed = bob.allocated()
    assert alice.bind(0x4000, relayed).code == 0
    assert world.routes == {
        Permission(RelayId(1), "10.0.0.5", Ports.OWN_RELAYED),
        Channel(RelayId(1), 0x4000, Address("10.0.0.5", relayed.port)),
    }
