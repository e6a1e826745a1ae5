"""What follows from a handler's outcome: replies counted, the operator told."""

from fairlead.datagram import Transport
from fairlead.reasons import Reason
from fairlead.stun.header import Method
from tests.turnd.kit import PEER, Client, World
from turnd.protocol.effects import Refused, Send
from turnd.protocol.outcome import drop


def test_replies_are_counted_by_method_transport_and_code() -> None:
    world = World()
    alice, bob = Client(world), Client(world, "bob", transport=Transport.TLS)
    alice.allocated()
    alice.allocate()
    alice.permit(PEER)
    alice.permit(PEER)
    bob.refresh()
    assert world.state.counters.replies == {
        (Method.ALLOCATE, Transport.UDP, 401): 1,
        (Method.ALLOCATE, Transport.TLS, 401): 1,
        (Method.ALLOCATE, Transport.UDP, None): 1,
        (Method.ALLOCATE, Transport.UDP, 437): 1,
        (Method.CREATE_PERMISSION, Transport.UDP, None): 2,
        (Method.REFRESH, Transport.TLS, 437): 1,
    }


def test_an_allocate_is_counted_when_it_is_answered() -> None:
    """Not when its socket is asked for, and once however many sockets it took."""
    world = World()
    world.foreign_ports = set(range(50000, 50090))
    Client(world).allocate()
    replies = world.state.counters.replies
    assert sum(count for (method, _, code), count in replies.items() if code != 401) == 1


def test_a_refusal_is_answered_and_the_operator_is_told_why() -> None:
    alice = Client(World())
    reply, refused = alice.say(alice.signed(Method.REFRESH))
    assert isinstance(reply, Send)
    assert refused == Refused(Method.REFRESH, "alice", alice.five_tuple, 437, "this 5-tuple has no allocation")


def test_a_drop_is_silence_and_a_number() -> None:
    world = World()
    assert drop(world.state, Reason.EMPTY) == ()
    assert drop(world.state, Reason.EMPTY) == ()
    assert world.state.counters.dropped == {Reason.EMPTY: 2}
