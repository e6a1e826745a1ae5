"""The inputs of the relay other than requests, and what every input has in common."""

from typing import cast

import pytest

from fairlead.credentials import mint
from fairlead.datagram import Transport
from fairlead.reasons import Reason
from fairlead.stun.attributes import EVEN_PORT, LIFETIME, RESERVATION_TOKEN
from fairlead.stun.header import Class, Method
from fairlead.turn_user import member_id
from tests.turnd.kit import EPOCH, PEER, START, Client, World
from turnd.protocol.authentication import Account, Secret
from turnd.protocol.effects import CloseRelaySocket, Ended, EndReason, Refused
from turnd.protocol.fences import FenceMode
from turnd.protocol.policy_change import announce
from turnd.protocol.relay import HANDLERS


def test_what_is_not_in_the_table_is_not_answered() -> None:
    assert set(HANDLERS) == {
        (Class.REQUEST, Method.BINDING),
        (Class.REQUEST, Method.ALLOCATE),
        (Class.REQUEST, Method.REFRESH),
        (Class.REQUEST, Method.CREATE_PERMISSION),
        (Class.REQUEST, Method.CHANNEL_BIND),
        (Class.INDICATION, Method.SEND),
    }


@pytest.mark.parametrize(
    ("data", "reason"), [(b"", Reason.EMPTY), (b"\x40\0\0\0", Reason.NOT_STUN), (bytes(20), Reason.BAD_COOKIE)]
)
def test_what_is_no_message_is_dropped_and_counted(data: bytes, reason: Reason) -> None:
    world = World()
    assert not Client(world).say(data)
    assert world.state.counters.dropped == {reason: 1}


def test_a_message_finds_only_what_is_still_alive() -> None:
    """Time has passed and nobody has called expire(): receive() does so first."""
    world = World()
    alice = Client(world)
    alice.allocated()
    alice.permit(PEER)
    world.clock.elapsed += 600
    effects = alice.say(alice.signed(Method.REFRESH))
    reasons = [effect.reason for effect in effects if isinstance(effect, Ended)]
    codes = [effect.code for effect in effects if isinstance(effect, Refused)]
    assert (reasons, codes) == ([EndReason.EXPIRED], [437])


@pytest.mark.parametrize("transport", [Transport.TCP, Transport.TLS])
def test_a_closed_connection_ends_its_allocation_at_once(transport: Transport) -> None:
    world = World()
    alice, other = Client(world, transport=transport), Client(world, transport=transport)
    for client in (alice, other):
        client.allocated()
        client.permit(PEER)
    close, ended = alice.disconnect()
    assert isinstance(close, CloseRelaySocket)
    assert isinstance(ended, Ended)
    assert ended.reason is EndReason.DISCONNECTED
    assert list(world.owners.values()) == [other.five_tuple]
    assert not alice.disconnect()


def test_a_closed_connection_without_an_allocation_is_no_news() -> None:
    assert not Client(World(), transport=Transport.TCP).disconnect()


def test_a_reservation_survives_the_connection_that_made_it() -> None:
    world = World()
    alice = Client(world, transport=Transport.TCP)
    token = alice.allocate((EVEN_PORT, True)).first(RESERVATION_TOKEN)
    alice.disconnect()
    assert Client(world).allocate((RESERVATION_TOKEN, token)).code == 0


def test_whatever_matches_can_be_ended() -> None:
    world = World()
    alices, bob = [Client(world), Client(world)], Client(world, "bob")
    for client in (*alices, bob):
        client.allocated()
    effects = world.relay.end(world.state.allocations.of_name("alice"), EndReason.ADMIN, world.now)
    ended = [effect for effect in world.carry_out(effects) if isinstance(effect, Ended)]
    assert {(effect.username, effect.five_tuple, effect.reason) for effect in ended} == {
        ("alice", alice.five_tuple, EndReason.ADMIN) for alice in alices
    }
    assert bob.refresh().code == 0


def test_what_is_ordered_about_one_is_asked_of_no_other() -> None:
    """With 10,000 allocations a revocation took 2 ms of the loop, a room's first fence 7; a signal_api that connects
    again repeats tens of thousands of them."""
    world = World(secrets=[Secret("now", b"secret")])
    member = member_id("a" * 16, "s_" + "b" * 16, "c" * 8)
    username, password = mint(b"secret", member, EPOCH + 3600)
    mine = Client(world, username, password)
    other = Client(world)
    for client in (mine, other):
        client.allocated()
    mine.bind(0x4000, PEER)
    stranger = world.state.allocations.by_five_tuple[other.five_tuple]
    account, stranger.account = stranger.account, cast(Account, None)  # nobody may look into it
    effects = announce(world.state, "a" * 16, FenceMode.ENFORCE, (), world.now)
    effects += world.relay.revoke("nobody", EPOCH + 60, world.now)
    effects += world.relay.revoke_expiring(member, EPOCH + 7200, world.now)
    stranger.account = account
    assert [effect.reason for effect in world.carry_out(effects) if isinstance(effect, Ended)] == [EndReason.REVOKED]
    assert other.refresh().code == 0


@pytest.mark.parametrize("name", ["1800003600:alice", "alice"])
def test_who_is_revoked_is_found_by_either_name(name: str) -> None:
    world = World(secrets=[Secret("now", b"secret")])
    limited = Client(world, *mint(b"secret", "alice", EPOCH + 3600))
    static, bob = Client(world), Client(world, "bob")
    for client in (limited, static, bob):
        client.allocated()
    world.carry_out(world.relay.revoke(name, EPOCH + 60, world.now))
    living = {row.account.username for row in world.state.allocations.by_id.values()}
    assert living == ({"bob"} if name == "alice" else {"bob", "alice"})


def test_the_next_deadline_is_that_of_whatever_ends_first() -> None:
    world = World()
    assert world.relay.deadline() is None
    alice = Client(world)
    alice.allocated((EVEN_PORT, True), (LIFETIME, 700))
    alice.bind(0x4000, PEER)
    deadlines = []
    while (deadline := world.relay.deadline()) is not None:
        deadlines.append(deadline - START)
        world.advance(deadline - world.now.monotonic)
    assert deadlines == [30, 300, 600, 700]
