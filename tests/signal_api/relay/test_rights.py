"""Who may not relay any more is named to turnd, when it is over and not before."""

import asyncio
import dataclasses

import pytest

from fairlead.credentials import parse_username
from fairlead.link import Command, End, EndBy, Revoke, RevokeBy
from signal_api.protocol.effects import LeaveReason
from signal_api.protocol.moderation import Who
from signal_api.protocol.refusals import CloseCode
from signal_api.protocol.revocations import Revocation, RevocationKind
from signal_api.relay import rights as module
from signal_api.relay.ice_servers import Issuer, Urls, room_hash
from signal_api.relay.rights import RelayRights
from tests.signal_api.socketless import Node, Seat
from tests.signal_api.worlds import ManualClock, token
from turnd.protocol.authentication import Account, Authenticator, Revoked
from turnd.protocol.revocations import Revocations

ISSUER = Issuer(b"secret", 3600, Urls((), ()), longest=7200)


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def told(node: Node) -> list[Command]:
    """What turnd hears."""
    commands: list[Command] = []
    node.hub.rights.command = commands.append
    return commands


async def _member(node: Node) -> tuple[Seat, str]:
    """Somebody in the room r, and the user id of the credential that came with it."""
    seat = await node.enter()
    return seat, _user((await seat.join("r"))["ice"]["username"])


def _user(username: str) -> str:
    parsed = parse_username(username)
    assert parsed is not None
    return parsed.user_id


def _last(node: Node) -> int:
    """When the last credential of a membership can end that was given until now, by whichever node."""
    return int(node.clock.now().wall) + 3600 + 60


def _parted(node: Node, user: str, why: str) -> Revoke:
    return Revoke(RevokeBy.USER, user, why, _last(node), parting=True)


def test_without_a_link_nothing_is_said_or_kept() -> None:
    rights = RelayRights(ManualClock(), lambda: ISSUER)
    rights.withdraw("r.s.n", "leave")
    rights.withdraw_user("alice", "revoked")
    rights.withdraw_all("alice", "revoked")
    rights.end_room("r", "closed")
    assert rights.standing() == []


def test_what_was_withdrawn_is_said_again_as_long_as_it_could_be_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", 3)
    clock, said = ManualClock(), list[Command]()
    rights = RelayRights(clock, lambda: ISSUER)
    rights.command = said.append
    for name in "abcda":
        clock.move(10)
        rights.withdraw(name, "leave")
    assert [command.value for command in rights.standing()] == ["c", "d", "a"]
    assert len(said) == 5
    clock.move(3600 + 55)
    assert [command.value for command in rights.standing()] == ["a"]
    clock.move(5)
    assert rights.standing() == []


async def test_the_end_of_a_room_is_the_end_of_what_is_relayed_for_it(node: Node, told: list[Command]) -> None:
    node.hub.rights.end_room("r", "closed")
    assert told == [End(EndBy.ROOM, room_hash("r"), "closed")]


async def test_who_leaves_may_not_relay_and_who_comes_again_may(node: Node, told: list[Command]) -> None:
    seat, first = await _member(node)
    await _member(node)
    await seat.say("leave", room="r")
    assert told == [_parted(node, first, "leave")]
    second = _user((await seat.join("r"))["ice"]["username"])
    assert second != first
    assert told == [_parted(node, first, "leave")]


async def test_the_last_one_who_leaves_is_no_exception(node: Node, told: list[Command]) -> None:
    seat, user = await _member(node)
    await seat.say("leave", room="r")
    assert told == [_parted(node, user, "leave")]


async def test_a_lost_connection_is_no_end_until_the_session_is_forgotten(node: Node, told: list[Command]) -> None:
    seat, user = await _member(node)
    seat.lose()
    await node.pass_time(119)
    assert (await node.engine.load("r")).room is None
    assert told == []
    await node.pass_time(1)
    assert told == [_parted(node, user, "session ended")]


async def test_who_comes_back_in_time_keeps_what_it_was_given(node: Node, told: list[Command]) -> None:
    seat, user = await _member(node)
    seat.lose()
    await node.pass_time(60)
    resume = {"sid": seat.welcome["sid"], "key": seat.welcome["key"], "after": 1}
    again = await node.enter(resume=resume)
    joined = [frame["data"] for frame in again.news() if frame["type"] == "joined"]
    assert [_user(body["ice"]["username"]) for body in joined] == [user, user]
    assert told == []


async def test_a_session_that_goes_on_at_another_node_keeps_what_it_was_given(node: Node, told: list[Command]) -> None:
    seat, _ = await _member(node)
    node.hub.give_up(seat.client, CloseCode.REBALANCE)
    assert node.hub.farewell is not None
    await node.hub.farewell(seat.client, LeaveReason.TIMEOUT)
    assert told == []
    assert seat.client.renewal is None


async def test_who_may_not_come_back_may_not_relay(node: Node, told: list[Command]) -> None:
    seat = await node.enter(token=token(node.clock, rooms=["r"]))
    user = _user((await seat.join("r"))["ice"]["username"])
    seat.lose()
    await node.pass_time(60)
    resume = {"sid": seat.welcome["sid"], "key": seat.welcome["key"], "after": 1}
    await node.enter(token=token(node.clock, rooms=["other"]), resume=resume)
    assert told == [Revoke(RevokeBy.USER, user, "not_granted", _last(node))]


@pytest.mark.parametrize("reason", list(LeaveReason))
async def test_the_end_of_a_session_is_the_end_in_each_of_its_rooms(
    node: Node, told: list[Command], reason: LeaveReason
) -> None:
    seat, user = await _member(node)
    other = _user((await seat.join("other"))["ice"]["username"])
    node.hub.end(seat.client, reason)
    await node.hub.settled()
    assert {command.value for command in told if isinstance(command, Revoke)} == {user, other}


async def test_a_session_that_ends_beside_many_relays_no_longer(node: Node, told: list[Command]) -> None:
    """Their rooms hear of it a few at a time, and each when its own frames are done."""
    members = [await _member(node) for _ in range(10)]
    for seat, _ in members:
        await seat.client.turn.acquire()
        node.hub.end(seat.client, LeaveReason.KICKED)
    await asyncio.sleep(0)
    assert [command.value for command in told if isinstance(command, Revoke)] == [user for _, user in members]
    assert node.engine.census().members == len(members)
    for seat, _ in members:
        seat.client.turn.release()
    await node.hub.settled()
    assert (node.engine.census().members, len(told)) == (0, len(members))


async def test_who_ends_its_session_while_it_comes_in_may_not_relay_there(node: Node, told: list[Command]) -> None:
    seat, first = await _member(node)
    joining = asyncio.create_task(seat.say("join", data={"room": "other", "create": {"password": "secret"}}))
    await asyncio.sleep(0)  # From here on the password is hashed.
    node.hub.end(seat.client, LeaveReason.KICKED)
    await joining
    second = seat.client.session.rooms["other"].turn_user
    await node.hub.settled()
    assert {command.value for command in told if isinstance(command, Revoke)} == {first, second}


async def test_who_is_revoked_loses_what_was_given_outside_of_rooms_until_then(node: Node, told: list[Command]) -> None:
    now = node.clock.now().wall
    node.hub.revoke(Revocation(RevocationKind.TOKEN, "jti", now, now + 60))
    node.hub.revoke(Revocation(RevocationKind.USER, "alice", now, now))
    assert told == []
    node.hub.revoke(Revocation(RevocationKind.USER, "alice", now, now + 60))
    assert told == [Revoke(RevokeBy.USER, "alice", "token revoked", expiring=int(now) + 3600)]


def test_who_was_sent_away_stays_away_however_many_go_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", 3)
    rights, said = RelayRights(ManualClock(), lambda: ISSUER), list[Command]()
    rights.command = said.append
    rights.withdraw("mallory", "kicked")
    for number in range(5):
        rights.withdraw(f"helper{number}", "leave", parting=True)
    rights.withdraw("mallory", "session ended", parting=True)
    assert [command.value for command in rights.standing()] == ["helper2", "helper3", "helper4", "mallory"]
    assert not rights.standing()[-1].parting
    rights.withdraw("helper4", "kicked")
    assert [command.value for command in rights.standing()] == ["helper2", "helper3", "mallory", "helper4"]


def test_what_a_back_end_revokes_is_kept_for_as_long_as_turnd_takes_credentials() -> None:
    issuer, clock = ISSUER, ManualClock()
    rights = RelayRights(clock, lambda: issuer)
    rights.command = lambda command: None
    rights.withdraw_all("camera-7", "revoked by a back end")
    clock.move(7199)
    rights.withdraw("r.s.n", "kicked")
    assert [command.value for command in rights.standing()] == ["camera-7", "r.s.n"]
    clock.move(1)
    assert [command.value for command in rights.standing()] == ["r.s.n"]
    issuer = ISSUER._replace(longest=0)
    rights.withdraw_all("camera-7", "revoked by a back end")
    clock.move(1e9)
    assert rights.standing() == [Revoke(RevokeBy.USER, "camera-7", "revoked by a back end")]


async def test_what_was_given_for_longer_is_withdrawn_for_longer(node: Node, told: list[Command]) -> None:
    """A reload shortens what is given from now on, and nothing that was given before."""
    seat, user = await _member(node)
    given = _last(node)
    await node.hub.adopt(dataclasses.replace(node.hub.policy, issuer=node.hub.policy.issuer._replace(lifetime=60)))
    await node.pass_time(10)
    await seat.say("leave", room="r")
    assert told == [Revoke(RevokeBy.USER, user, "leave", given, parting=True)]


async def test_a_kick_outlives_the_leaving_of_others(node: Node) -> None:
    """Ten sessions of one user, as many as it may have, come and go in a room of their own at the rate that is
    allowed to them; turnd's tables are turnd's own."""
    revoked = Revoked(*(Revocations(size=256) for _ in Revoked._fields))
    authenticator = Authenticator("realm", {}, [], revoked)

    def carry_out(command: Command) -> None:
        assert isinstance(command, Revoke)
        assert command.expiring is not None
        authenticator.revoke_expiring(command.value, command.expiring, command.parting)

    node.hub.rights.command = carry_out
    seat = await node.enter(token=token(node.clock, "mallory", lifetime=86400))
    username = (await seat.join("r"))["ice"]["username"]
    await node.dispatch.verbs.steward.kick("r", Who(user="mallory"), 3600, "backend")
    helpers = [await node.enter(token=token(node.clock, "helper", lifetime=86400)) for _ in range(10)]
    for _ in range(60):
        node.clock.move(1.0)
        for helper in helpers:
            await helper.join("own")
            await helper.say("leave", room="own")
    parsed = parse_username(username)
    assert parsed is not None
    account = Account(username, parsed.user_id, "realm", bytes(16), "current", parsed.expires)
    assert len(revoked.parted) == 256
    assert authenticator.is_revoked(account, node.clock.now())
