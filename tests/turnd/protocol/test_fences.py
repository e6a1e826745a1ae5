"""The fence of a room, by itself and at the verbs of a relay."""

import pytest

from fairlead.credentials import mint
from fairlead.datagram import Transport
from fairlead.reasons import Reason
from fairlead.stun.attributes import XOR_PEER_ADDRESS
from fairlead.stun.header import Method
from tests.turnd.kit import EPOCH, OTHER_PEER, PEER, Client, World
from turnd.protocol.authentication import Secret
from turnd.protocol.effects import ClearRoute
from turnd.protocol.fences import FenceMode, Fences
from turnd.protocol.peer_policy import PeerClass
from turnd.protocol.peers import EARLY, FORGOTTEN
from turnd.protocol.policy_change import announce

SECRET = Secret("current", b"secret")
ROOM = "roomroomroomroom"


def member_of(room: str) -> str:
    """A user id of a member of the room, which may be named by one letter."""
    return f"{room * (16 // len(room))}.s_{'s' * 16}.{'n' * 8}"


def rooms(letters: str) -> list[str]:
    return [letter * 16 for letter in letters]


def test_who_is_in_no_room_has_no_fence() -> None:
    fences = Fences()
    fences.announce(ROOM, FenceMode.ENFORCE, ["20.0.0.1"])
    assert fences.judge(member_of(ROOM), "20.0.0.1") is FenceMode.OFF
    assert fences.judge(member_of(ROOM), "20.0.0.2") is FenceMode.ENFORCE
    for other in ("alice", "", member_of("o"), f"{ROOM}.s.n"):
        assert fences.judge(other, "20.0.0.2") is FenceMode.OFF


def test_hosts_are_added_and_modes_replaced() -> None:
    fences = Fences()
    assert not fences.announce(ROOM, FenceMode.LOG, ["a"])
    assert fences.judge(member_of(ROOM), "b") is FenceMode.LOG
    assert fences.announce(ROOM, FenceMode.ENFORCE, ["b"])
    assert not fences.announce(ROOM, FenceMode.ENFORCE, ["c"])
    assert {fences.judge(member_of(ROOM), host) for host in "abc"} == {FenceMode.OFF}
    fences.announce(ROOM, FenceMode.OFF, [])
    assert fences.judge(member_of(ROOM), "z") is FenceMode.OFF
    assert len(fences) == 0


def _announce(fences: Fences, room: str, mode: FenceMode, hosts: str, living: tuple[str, ...] = ()) -> None:
    fences.announce(room, mode, hosts)
    if fences.is_full:
        fences.make_room((room, *living))


def test_rooms_and_hosts_have_bounds() -> None:
    fences = Fences(rooms=2, hosts=2)
    for room in rooms("abc"):
        _announce(fences, room, FenceMode.ENFORCE, "123")
    assert len(fences) == 2
    judged = [fences.judge(member_of("c"), host) for host in "123"]
    assert judged == [FenceMode.ENFORCE, FenceMode.OFF, FenceMode.OFF]


def test_a_fence_that_was_forgotten_stays_closed() -> None:
    """Who fills the table with other rooms gets no further than before; no room at all is still no fence."""
    fences = Fences(rooms=1)
    a, b, c, free = rooms("abcd")
    _announce(fences, a, FenceMode.LOG, "1")
    _announce(fences, b, FenceMode.ENFORCE, "1")
    assert fences.judge(member_of("a"), "1") is FenceMode.LOG
    _announce(fences, c, FenceMode.LOG, "1")
    judged = [fences.judge(member_of(room), "9") for room in "abc"]
    assert judged == [FenceMode.ENFORCE, FenceMode.ENFORCE, FenceMode.LOG]
    for other in ("alice", "john.doe", "john.doe@example.org"):
        assert fences.judge(other, "9") is FenceMode.OFF
    _announce(fences, b, FenceMode.ENFORCE, "1")
    assert fences.judge(member_of("b"), "1") is FenceMode.OFF
    _announce(fences, free, FenceMode.OFF, "")
    assert fences.judge(member_of("d"), "9") is FenceMode.OFF
    assert len(fences) == 1


def test_off_forgets_the_hosts() -> None:
    fences = Fences(rooms=1)
    for room in rooms("ab"):
        _announce(fences, room, FenceMode.ENFORCE, "1")
    fences.announce("b" * 16, FenceMode.OFF, "")
    fences.announce("b" * 16, FenceMode.ENFORCE, "2")
    assert [fences.judge(member_of("b"), host) for host in "12"] == [FenceMode.ENFORCE, FenceMode.OFF]


def test_rooms_that_relay_do_not_give_way() -> None:
    fences = Fences(rooms=32)
    living = tuple(rooms("abcdefgh"))
    for room in living:
        fences.announce(room, FenceMode.ENFORCE, "1")
    most = 0
    for number in range(1000):
        _announce(fences, f"room{number}", FenceMode.ENFORCE, "", living)
        most = max(most, len(fences))
    assert {fences.judge(member_of(room), "1") for room in "abcdefgh"} == {FenceMode.OFF}
    assert most == 32


def test_where_more_rooms_relay_than_there_are_places_they_all_stay() -> None:
    """There are never more of them than allocations; who lives is not asked every time."""
    fences, asked = Fences(rooms=32), 0
    living: list[str] = []
    for number in range(100):
        living.append(f"room{number}")
        fences.announce(living[-1], FenceMode.ENFORCE, "1")
        if fences.is_full:
            asked += 1
            fences.make_room(living)
    assert len(fences) == 100
    assert asked < 40


def test_a_call_outlives_the_rooms_that_others_open() -> None:
    world = _fenced(FenceMode.ENFORCE, PEER.host)
    world.state.fences = Fences(rooms=64)
    world.carry_out(announce(world.state, ROOM, FenceMode.ENFORCE, [PEER.host], world.now))
    member, stranger = _member(world, Transport.TCP), Client(world, *mint(SECRET.value, "john.doe", EPOCH + 3600))
    stranger.allocated()
    for number in range(200):
        world.carry_out(announce(world.state, f"room{number}", FenceMode.ENFORCE, (), world.now))
    world.advance(200)
    assert member.permit(PEER).code == 0
    assert member.permit(OTHER_PEER).code == 403
    assert stranger.permit(OTHER_PEER).code == 0


def _member(world: World, transport: Transport = Transport.UDP) -> Client:
    client = Client(world, *mint(SECRET.value, member_of(ROOM), EPOCH + 3600), transport=transport)
    client.allocated()
    return client


def _fenced(mode: FenceMode, *hosts: str) -> World:
    world = World(secrets=[SECRET])
    world.carry_out(announce(world.state, ROOM, mode, hosts, world.now))
    return world


@pytest.mark.parametrize("verb", ["permit", "bind"])
def test_only_what_was_announced_is_permitted(verb: str) -> None:
    world = _fenced(FenceMode.ENFORCE, PEER.host)
    member = _member(world, Transport.TCP)
    ask = member.permit if verb == "permit" else lambda peer: member.bind(0x4000, peer)
    assert ask(OTHER_PEER).code == 403
    assert world.state.counters.peer_denied == {PeerClass.NOT_ANNOUNCED: 1}
    assert not world.routes
    assert ask(PEER).code == 0
    assert not member.send(OTHER_PEER)
    assert world.state.counters.dropped == {Reason.PEER_DENIED: 1}


def test_a_datagram_that_came_before_its_candidate_is_not_refused_but_left_to_be_repeated() -> None:
    world = _fenced(FenceMode.ENFORCE)
    member = _member(world)
    early = member.signed(Method.CREATE_PERMISSION, (XOR_PEER_ADDRESS, PEER))
    assert member.say(early) == []
    world.advance(EARLY / 2)
    world.carry_out(announce(world.state, ROOM, FenceMode.ENFORCE, [PEER.host], world.now))
    assert member.exchange(early).code == 0


def test_what_is_never_announced_is_refused_in_the_end() -> None:
    world = _fenced(FenceMode.ENFORCE)
    member = _member(world)
    assert member.say(member.signed(Method.CREATE_PERMISSION, (XOR_PEER_ADDRESS, PEER))) == []
    world.advance(EARLY)
    assert member.permit(PEER).code == 403
    world.carry_out(announce(world.state, ROOM, FenceMode.ENFORCE, [PEER.host], world.now))
    assert member.permit(PEER).code == 0, "who asks again is judged again"


def test_what_waits_has_a_bound() -> None:
    world = World(secrets=[SECRET], max_permissions=1)
    world.carry_out(announce(world.state, ROOM, FenceMode.ENFORCE, [], world.now))
    member = _member(world)
    assert member.say(member.signed(Method.CREATE_PERMISSION, (XOR_PEER_ADDRESS, PEER))) == []
    assert member.permit(OTHER_PEER).code == 403


def test_what_waited_long_ago_makes_room() -> None:
    world = World(secrets=[SECRET], max_permissions=1)
    world.carry_out(announce(world.state, ROOM, FenceMode.ENFORCE, [], world.now))
    member = _member(world)
    assert member.say(member.signed(Method.CREATE_PERMISSION, (XOR_PEER_ADDRESS, PEER))) == []
    world.advance(FORGOTTEN - 1)
    assert member.permit(OTHER_PEER).code == 403
    world.advance(1)
    assert member.say(member.signed(Method.CREATE_PERMISSION, (XOR_PEER_ADDRESS, OTHER_PEER))) == []


def test_what_the_policy_denies_is_refused_at_once() -> None:
    world = _fenced(FenceMode.ENFORCE, "10.0.0.1")
    assert _member(world).permit(PEER._replace(host="10.0.0.1")).code == 403


def test_a_fence_that_logs_counts_and_lets_pass() -> None:
    world = _fenced(FenceMode.LOG, OTHER_PEER.host)
    member = _member(world)
    assert member.permit(OTHER_PEER).code == 0
    assert world.state.counters.fence_logged == 0
    assert member.permit(PEER).code == 0
    assert world.state.counters.fence_logged == 1


def test_what_lives_beyond_a_new_fence_is_withdrawn() -> None:
    world = World(secrets=[SECRET])
    member, stranger = _member(world), Client(world)
    stranger.allocated()
    for client in (member, stranger):
        assert client.bind(0x4000, PEER).code == 0
        assert client.bind(0x4001, OTHER_PEER).code == 0
    done = world.carry_out(announce(world.state, ROOM, FenceMode.ENFORCE, [PEER.host], world.now))
    assert len(done) == 2
    assert all(isinstance(effect, ClearRoute) for effect in done)
    assert member.bind(0x4000, PEER).code == 0
    assert stranger.bind(0x4001, OTHER_PEER).code == 0
