"""What ends, in which order, and what is left of it."""

import dataclasses

import pytest

from fairlead.credentials import mint
from fairlead.stun.attributes import EVEN_PORT, LIFETIME
from tests.turnd.kit import EPOCH, OTHER_PEER, PEER, Client, World
from turnd.protocol.authentication import Secret
from turnd.protocol.effects import ClearRoute, CloseRelaySocket, Ended, EndReason, SetDeadline
from turnd.protocol.endings import cut
from turnd.protocol.ports import Census
from turnd.protocol.settings import Expiry
from turnd.routes import Channel, Permission, Ports, RelayId

RELAY = RelayId(1)


def test_each_thing_ends_at_its_own_time() -> None:
    world = World()
    alice = Client(world)
    alice.allocated((LIFETIME, 3600))
    alice.permit(PEER)
    world.advance(10)
    alice.bind(0x4000, OTHER_PEER)
    assert world.advance(289.999) == []
    assert world.advance(0.001) == [ClearRoute(Permission(RELAY, PEER.host, Ports.ANY))]
    assert world.advance(10) == [ClearRoute(Permission(RELAY, OTHER_PEER.host, Ports.ANY))]
    assert world.advance(299.999) == []
    assert world.advance(0.001) == [ClearRoute(Channel(RELAY, 0x4000, OTHER_PEER))]
    assert [type(effect) for effect in world.advance(3600)] == [CloseRelaySocket, Ended]


def test_what_was_missed_ends_in_the_order_of_its_time() -> None:
    """The loop was away for ten minutes: all that came due meanwhile ends now, the oldest first."""
    world = World()
    alice = Client(world)
    alice.allocated((LIFETIME, 700))
    alice.permit(PEER)
    alice.bind(0x4000, OTHER_PEER)
    world.clock.elapsed = 700
    kinds = [type(effect) for effect in world.carry_out(world.relay.expire(world.now))]
    assert kinds == [ClearRoute, ClearRoute, ClearRoute, CloseRelaySocket, Ended]
    assert world.relay.deadline() is None


def test_an_end_closes_the_socket_and_then_tells() -> None:
    """Closing returns the usage that the report of the end goes with."""
    world = World()
    alice = Client(world)
    alice.allocated()
    alice.permit(PEER)
    world.advance(100)
    close, ended, _ = alice.say(alice.signed(4, (LIFETIME, 0)))
    assert close == CloseRelaySocket(RELAY)
    assert ended == Ended(1, "alice", alice.five_tuple, alice.via, RELAY, EndReason.CLIENT, 100.0)
    assert world.state.counters.allocations_ended == {EndReason.CLIENT: 1}


def test_a_port_is_held_back_from_the_moment_of_the_end() -> None:
    world = World(port_hold=30)
    Client(world).allocated((EVEN_PORT, True))
    world.advance(30)
    assert world.census() == Census(free=98, used=1, held=1, foreign=0)
    world.advance(569.999)
    assert world.census() == Census(free=99, used=1, held=0, foreign=0)
    world.advance(0.001)
    assert world.census() == Census(free=99, used=0, held=1, foreign=0)
    world.advance(30)
    assert world.census() == Census(free=100, used=0, held=0, foreign=0)


@pytest.mark.parametrize("how", ["revoke", "revoke_expiring"])
def test_a_revocation_ends_what_was_reserved(how: str) -> None:
    secret = Secret("current", b"spring")
    world = World(secrets=[secret])
    for user in ("r.s.alice", "bob"):
        Client(world, *mint(secret.value, user, EPOCH + 3600)).allocated((EVEN_PORT, True))
    world.carry_out(getattr(world.relay, how)("r.s.alice", EPOCH + 3600, world.now))
    assert len(world.sockets) == len(world.state.quotas) == 2
    assert [row.user_id for row in world.state.allocations.reservations.values()] == ["bob"]


def test_what_lives_ends_with_its_credential_when_that_is_asked_for_later() -> None:
    """A configuration is reloaded: of three allocations one has outlived its credential, one will, one has none."""
    secret = Secret("current", b"spring")
    world = World(secrets=[secret])
    for user, lasting in (("over", 50), ("soon", 300)):
        Client(world, *mint(secret.value, user, EPOCH + lasting)).allocated((LIFETIME, 3600))
    Client(world).allocated((LIFETIME, 3600))
    assert not cut(world.state, world.now)
    world.advance(100)
    world.state.settings = dataclasses.replace(world.state.settings, expiry=Expiry.CUT)
    told = cut(world.state, world.now)
    assert told == (SetDeadline(RelayId(1), world.now.monotonic), SetDeadline(RelayId(2), world.now.monotonic + 200))
    world.carry_out((*told, *world.relay.expire(world.now)))
    assert world.state.counters.allocations_ended == {EndReason.CREDENTIAL_EXPIRED: 1}
    world.advance(200)
    assert world.state.counters.allocations_ended == {EndReason.CREDENTIAL_EXPIRED: 2}
    assert [row.account.username for row in world.state.allocations.by_id.values()] == ["alice"]


def test_an_unclaimed_reservation_ends_without_a_report() -> None:
    """It was nobody's allocation; its socket is closed and its share of the quota comes back."""
    world = World()
    Client(world).allocated((EVEN_PORT, True))
    assert world.advance(30) == [CloseRelaySocket(RelayId(2))]
    assert len(world.state.quotas) == 1
