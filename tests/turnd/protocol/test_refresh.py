"""Refresh beyond the RFC's own rules."""

from fairlead.stun.attributes import LIFETIME
from fairlead.stun.header import Method
from tests.turnd.kit import PEER, START, Client, World
from turnd.protocol.effects import CloseRelaySocket, Ended, Send, SetDeadline
from turnd.routes import RelayId


def test_an_allocation_can_live_for_ever() -> None:
    """As long as its client refreshes it; its permissions it must ask for again."""
    world = World()
    alice = Client(world)
    relayed = alice.allocated()
    for _ in range(100):
        world.advance(590)
        assert alice.refresh().code == 0
    assert list(world.sockets.values()) == [relayed]


def test_a_deletion_is_done_before_it_is_reported() -> None:
    alice = Client(World())
    alice.allocated()
    alice.permit(PEER)
    effects = alice.say(alice.signed(Method.REFRESH, (LIFETIME, 0)))
    assert [type(effect) for effect in effects] == [CloseRelaySocket, Ended, Send]


def test_the_engine_has_the_new_deadline_before_the_reply() -> None:
    world = World()
    alice = Client(world)
    alice.allocated()
    world.advance(100)
    deadline, reply = alice.say(alice.signed(Method.REFRESH, (LIFETIME, 900)))
    assert deadline == SetDeadline(RelayId(1), START + 1000)
    assert isinstance(reply, Send)


def test_a_shorter_lifetime_than_before_counts() -> None:
    """From an hour down to the default."""
    world = World()
    alice = Client(world)
    alice.allocated((LIFETIME, 3600))
    alice.refresh()
    world.advance(600)
    assert not world.sockets
