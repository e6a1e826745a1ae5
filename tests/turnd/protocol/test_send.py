"""Send beyond the RFC's own rules: why something is dropped, in which order it is asked."""

from fairlead.datagram import Address, Transport
from fairlead.reasons import Reason
from fairlead.stun.attributes import DATA, XOR_PEER_ADDRESS
from fairlead.stun.header import Class, Method
from tests.turnd.kit import PEER, Client, World
from turnd.protocol.peer_policy import PeerPolicy


def test_a_policy_that_was_changed_stops_a_send_even_before_its_routes_are_withdrawn() -> None:
    world = World()
    alice = Client(world)
    alice.allocated()
    alice.permit(PEER)
    world.state.policy = PeerPolicy.parse(deny=[PEER.host])
    assert not alice.send(PEER)
    assert world.state.counters.dropped == {Reason.PEER_DENIED: 1}


def test_a_send_on_another_five_tuple_does_not_use_the_allocation() -> None:
    """An indication is not authenticated: the 5-tuple is all that it has."""
    world = World()
    alice = Client(world)
    alice.allocated()
    alice.permit(PEER)
    spoofed = Client(world, address=alice.five_tuple.client, transport=Transport.TCP)
    assert not spoofed.send(PEER)
    assert alice.send(PEER)


def test_every_drop_has_its_reason() -> None:
    world = World()
    alice = Client(world)
    alice.allocated()
    alice.permit(PEER)
    for rows in ([(DATA, b"")], [(XOR_PEER_ADDRESS, PEER)]):
        alice.say(alice.message(Method.SEND, *rows, kind=Class.INDICATION))
    alice.send(Address("20.0.0.9", 1))
    alice.send(Address("10.0.0.9", 1))
    alice.send(Address("2600::9", 1))
    alice.send(Address(PEER.host, 0))
    assert world.state.counters.dropped == {
        Reason.MISSING_ATTRIBUTE: 2,
        Reason.NO_PERMISSION: 1,
        Reason.PEER_DENIED: 1,
        Reason.PEER_FAMILY: 1,
        Reason.PORT_ZERO: 1,
    }
