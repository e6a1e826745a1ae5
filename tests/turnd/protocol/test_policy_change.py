"""A new policy and what the old one allowed."""

from fairlead.datagram import Address, Family
from tests.turnd.kit import HOSTS, OTHER_PEER, PEER, PEER6, START, Client, World
from turnd.protocol.effects import ClearRoute, SetRoute
from turnd.protocol.peer_policy import PeerPolicy
from turnd.protocol.policy_change import change_policy
from turnd.routes import Channel, Permission, Ports, RelayId

RELAY = RelayId(1)


def permitted(*peers: Address, world: World | None = None) -> tuple[World, Client]:
    world = world or World()
    alice = Client(world)
    alice.allocated(family=peers[0].family)
    for number, peer in enumerate(peers):
        assert alice.bind(0x4000 + number, peer).code == 0
    return world, alice


def test_what_is_denied_now_is_withdrawn() -> None:
    """Permission and channel, of this peer alone; its allocation lives, and may bind others."""
    world, alice = permitted(PEER, OTHER_PEER)
    effects = world.carry_out(change_policy(world.state, PeerPolicy.parse(deny=[PEER.host]), world.now))
    assert set(effects) == {
        ClearRoute(Channel(RELAY, 0x4000, PEER)),
        ClearRoute(Permission(RELAY, PEER.host, Ports.ANY)),
    }
    assert alice.bind(0x4000, PEER).code == 403
    assert alice.send(OTHER_PEER)


def test_what_is_allowed_still_is_not_touched() -> None:
    """Neither is it refreshed."""
    world, _ = permitted(PEER)
    world.advance(100)
    assert not world.carry_out(change_policy(world.state, PeerPolicy.parse(deny=["20.0.0.9"]), world.now))
    world.advance(199.999)
    assert len(world.routes) == 2
    world.advance(0.001)
    assert world.routes == {Channel(RELAY, 0x4000, PEER)}


def test_all_allocations_are_judged() -> None:
    world, _ = permitted(PEER)
    permitted(PEER6, world=world)
    denial = PeerPolicy.parse(deny=[PEER.host, PEER6.host])
    world.carry_out(change_policy(world.state, denial, world.now))
    assert not world.routes
    assert len(world.sockets) == 2


def test_a_withdrawn_permission_leaves_no_deadline_behind() -> None:
    world, _ = permitted(PEER)
    world.carry_out(change_policy(world.state, PeerPolicy.parse(deny=[PEER.host]), world.now))
    assert world.relay.deadline() == world.now.monotonic + 600


def test_other_ports_than_before_are_sent_to_the_engine() -> None:
    """A host of our own that the operator opens as a whole, and closes again."""
    own = HOSTS[Family.IPV4].bound
    strict, wide = PeerPolicy.parse(own_relays=[own]), PeerPolicy.parse(own_relays=[own], allow=[own])
    world, _ = permitted(Address(own, 50001), world=World(policy=strict))
    for policy, ports in ((wide, Ports.ANY), (strict, Ports.OWN_RELAYED)):
        assert world.carry_out(change_policy(world.state, policy, world.now)) == [
            SetRoute(Permission(RELAY, own, ports), START + 300)
        ]
    world.advance(300)
    assert world.routes == {Channel(RELAY, 0x4000, Address(own, 50001))}


def test_a_listener_of_our_own_is_withdrawn_as_a_peer() -> None:
    """The host stays permitted, and its other ports with it; a channel to the listener does not."""
    own = HOSTS[Family.IPV4].bound
    world, _ = permitted(Address(own, 3478), Address(own, 50001))
    policy = PeerPolicy.parse(own_relays=[own], own_listeners=[Address(own, 3478)])
    effects = world.carry_out(change_policy(world.state, policy, world.now))
    assert effects == [ClearRoute(Channel(RELAY, 0x4000, Address(own, 3478)))]
