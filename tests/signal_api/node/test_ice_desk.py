"""Credentials are renewed before the client has to think of it, and nobody is sent to a turnd that goes."""

import json
from typing import Any

import pytest

from fairlead.credentials import parse_username
from fairlead.link import Allocated, Draining
from signal_api.protocol.moderation import Alteration
from tests.signal_api.socketless import Node, Seat
from tests.signal_api.worlds import token

HERE = Draining(100.0, ("turn1.example", "{host}"), (3478,))
BOTH = ["turn:{host}:3478?transport=udp", "turn:turn2.example:3478"]


def _ice(seat: Seat) -> list[dict[str, Any]]:
    return [frame for frame in seat.news() if frame["type"] == "ice"]


async def _wait(node: Node, seat: Seat, seconds: float) -> list[dict[str, Any]]:
    """Stays connected until there are `ice` frames, or for so long."""
    for _ in range(round(seconds / 10)):
        await node.pass_time(10)
        await seat.say("pong")
        if found := _ice(seat):
            return found
    return []


def _urls(data: dict[str, Any]) -> list[str]:
    return [url for server in data["iceServers"] for url in server["urls"] if url.startswith("turn:")]


def _relays(node: Node, username: str) -> None:
    node.hub.sightings.note(Allocated(1, username, "udp", "198.51.100.7:5000", "203.0.113.5:50000"), 0)


async def test_a_fresh_credential_comes_before_it_is_due_again_and_again() -> None:
    node = Node()
    seat = await node.enter()
    first = (await seat.join("r"))["ice"]
    entered = node.clock.now().wall
    for _ in range(3):
        (frame,) = await _wait(node, seat, 2700)
        assert frame["room"] == "r"
        assert frame["seq"] > 0
        waited = node.clock.now().wall - entered
        assert 0.6 * 3600 <= waited < 0.75 * 3600
        old, new = (parse_username(data["username"]) for data in (first, frame["data"]))
        assert old is not None
        assert new is not None
        assert (new.user_id, new.expires) == (old.user_id, int(node.clock.now().wall) + 3600)
        first, entered = frame["data"], node.clock.now().wall
    assert node.instruments.ice_issued["push",] == 3


@pytest.mark.parametrize("leaves", [True, False])
async def test_whoever_has_left_or_may_not_relay_any_more_gets_none(leaves: bool) -> None:
    node = Node()
    seat = await node.enter(token=token(node.clock, lifetime=9000))
    await seat.join("r")
    if leaves:
        await seat.say("leave", room="r")
    else:
        await seat.say("token", data={"token": token(node.clock, lifetime=9000, can=["join"])})
    told = await _wait(node, seat, 3000)
    assert [frame["data"]["reason"] for frame in told] == ([] if leaves else ["not_granted"])
    assert '"credential":' not in json.dumps(told)
    assert await _wait(node, seat, 3000) == []
    assert seat.line.closed is None


async def test_a_role_that_loses_the_right_hears_so_at_its_next_renewal_and_is_given_none() -> None:
    node = Node()
    opener = await node.enter()
    await opener.join("r", create={"roles": {"viewer": ["publish", "ice"]}})
    seat = await node.enter(token=token(node.clock, role="viewer", lifetime=20000))
    assert "ice" in await seat.join("r")
    await node.dispatch.verbs.steward.alter("r", Alteration(roles={"viewer": ("publish",)}))
    (frame,) = await _wait(node, seat, 3000)
    assert (frame["room"], frame["data"]["reason"], frame["data"]["restart"]) == ("r", "not_granted", False)
    assert [list(server) for server in frame["data"]["iceServers"]] == [["urls"]]
    assert _urls(frame["data"]) == []
    assert await _wait(node, seat, 7200) == []


async def test_a_role_that_lost_the_right_is_given_nothing_by_a_drain() -> None:
    node = Node(ice__turn=BOTH)
    await (await node.enter()).join("r")
    seat = await node.enter(token=token(node.clock, role="viewer"))
    await seat.join("r")
    await node.dispatch.verbs.steward.alter("r", Alteration(roles={"viewer": ("publish",)}))
    node.hub.desk.turnd_goes(HERE)
    await node.hub.settled()
    assert _ice(seat) == []


@pytest.mark.parametrize("how", ["leave", "close"])
async def test_rooms_that_were_left_are_not_remembered_for_their_credentials(how: str) -> None:
    node = Node()
    seat = await node.enter(rooms=["stays"])
    for number in range(3):
        await seat.join(f"r{number}")
        if how == "leave":
            await seat.say("leave", room=f"r{number}")
        else:
            await node.dispatch.verbs.steward.close(f"r{number}")
    assert list(seat.client.renewals) == ["stays"]


async def test_the_end_of_a_session_is_the_end_of_its_timer() -> None:
    node = Node()
    seat = await node.enter()
    await seat.join("r")
    node.hub.end(seat.client)
    assert seat.client.renewal is None
    assert seat.client.renewals == {}


async def test_who_relays_through_a_turnd_that_goes_is_asked_to_leave_it_for_another() -> None:
    node = Node(ice__turn=BOTH)
    caller, idle = await node.enter(), await node.enter()
    _relays(node, (await caller.join("r"))["ice"]["username"])
    await idle.join("r")
    node.hub.desk.turnd_goes(HERE)
    await node.hub.settled()
    (told,), (also,) = _ice(caller), _ice(idle)
    assert (told["data"]["restart"], told["data"]["reason"]) == (True, "draining")
    assert also["data"]["restart"] is False
    assert _urls(told["data"]) == _urls(also["data"]) == ["turn:turn2.example:3478"]
    late = await node.enter()
    assert _urls((await late.join("r"))["ice"]) == ["turn:turn2.example:3478"]
    node.hub.desk.turnd_is_back()
    later = await node.enter()
    assert len(_urls((await later.join("r"))["ice"])) == 2


async def test_nobody_is_sent_to_nowhere() -> None:
    node = Node(ice__turn=BOTH[:1])
    caller, idle = await node.enter(), await node.enter()
    _relays(node, (await caller.join("r"))["ice"]["username"])
    await idle.join("r")
    node.hub.desk.turnd_goes(HERE)
    await node.hub.settled()
    (told,) = _ice(caller)
    assert (told["data"]["restart"], told["data"]["seconds"]) == (False, 100.0)
    assert "only TURN server" in told["data"]["message"]
    assert "iceServers" not in told["data"]
    assert _ice(idle) == []
    assert _urls((await (await node.enter()).join("r"))["ice"]), "a server that drains is better than none"


@pytest.mark.parametrize("change", ["back", "gone", "left"])
async def test_a_drain_that_is_over_is_told_to_nobody_else(change: str) -> None:
    node = Node(ice__turn=BOTH)
    seat = await node.enter()
    await seat.join("r")
    seat.news()
    node.hub.desk.turnd_goes(HERE)
    if change == "back":
        node.hub.desk.turnd_is_back()
    elif change == "gone":
        node.hub.end(seat.client)
    else:
        del seat.client.session.rooms["r"]
    await node.hub.settled()
    assert _ice(seat) == []


async def test_who_may_not_relay_is_not_told_of_a_drain() -> None:
    node = Node(ice__turn=BOTH)
    seat = await node.enter(token=token(node.clock, can=["join", "create"]))
    await seat.join("r")
    node.hub.desk.turnd_goes(HERE)
    await node.hub.settled()
    assert _ice(seat) == []
