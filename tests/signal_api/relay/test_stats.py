"""Relay bytes and outcomes of a room, member by member; the frames that they come from."""

from typing import Any

import pytest

from fairlead.link import Allocated, Traffic, Usage
from signal_api.relay.stats import RoomStats, room_stats, total
from tests.signal_api.socketless import Node, Seat


async def _stats(node: Node) -> RoomStats:
    room = (await node.engine.load("r")).room
    assert room is not None
    told = await node.engine.reports([member.turn_user for member in room.members.values()])
    return room_stats(room, node.hub.sightings, told)


def _relays(node: Node, seat: Seat, allocation: int, *flow: int) -> None:
    username = f"1763798700:{seat.client.session.rooms['r'].turn_user}"
    node.hub.sightings.note(Allocated(allocation, username, "udp", "198.51.100.7:1", "203.0.113.5:2"), 0)
    node.hub.sightings.note(Usage(allocation, username, Traffic(*flow)), 0)


async def test_what_each_member_has_relayed_and_all_of_them() -> None:
    node = Node()
    first, second = await node.enter(), await node.enter()
    ids = [(await seat.join("r"))["self"]["id"] for seat in (first, second)]
    _relays(node, first, 1, 1, 100, 2, 200)
    _relays(node, first, 2, 1, 50, 0, 0)
    _relays(node, second, 3, 0, 0, 4, 400)
    stats = await _stats(node)
    assert [member.member for member in stats.members] == ids
    assert [member.traffic for member in stats.members] == [Traffic(2, 150, 2, 200), Traffic(0, 0, 4, 400)]
    assert stats.traffic == Traffic(2, 150, 6, 600)
    assert not stats.linked
    assert total([]) == Traffic()


async def test_a_report_stands_beside_what_turnd_saw() -> None:
    node = Node()
    node.hub.sightings.is_linked = lambda: True
    seat = await node.enter()
    await seat.join("r")
    _relays(node, seat, 1, 5, 500, 0, 0)
    await seat.say("report", room="r", id="1", data={"outcome": "failed", "peer": "m_x", "connect_ms": 15000})
    assert seat.types() == ["ok"]
    (member,) = (await _stats(node)).members
    (outcome,) = member.outcomes
    assert outcome.report.connect_ms == 15000
    assert "nothing came back" in outcome.why
    assert node.instruments.reports["failed", "none"] == 1


@pytest.mark.parametrize(
    ("room", "data", "code"),
    [
        ("r", {"outcome": "sideways"}, "bad_request"),
        ("r", {}, "bad_request"),
        ("r", {"outcome": "failed", "detail": "x" * 300}, "bad_request"),
        ("r", {"outcome": "failed", "connect_ms": -1}, "bad_request"),
        ("other", {"outcome": "failed"}, "room_not_found"),
    ],
)
async def test_a_report_that_is_none_is_refused(room: str, data: dict[str, Any], code: str) -> None:
    node = Node()
    seat = await node.enter()
    await seat.join("r")
    await seat.say("report", room=room, data=data)
    assert seat.news()[-1]["data"]["code"] == code
    assert (await _stats(node)).members[0].outcomes == ()
