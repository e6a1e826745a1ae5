"""What a token lets its user relay, counted over relays, members and sessions."""

from pathlib import Path
from typing import Any

import pytest

from fairlead.link import Allocated, Budget, Command, Ended, Revoke, RevokeBy, Traffic, Usage
from signal_api import budgets as module
from signal_api.budgets import Scope
from signal_api.turn_link import TurnLink
from tests.signal_api.node import Node, Seat
from tests.signal_api.worlds import token


class World:
    """A node whose link leads to a list."""

    def __init__(self, folder: Path) -> None:
        self.node = Node()
        self.link = TurnLink(folder / "link", self.node.hub)
        self.told: list[Command] = []
        self.node.hub.rights.command = self.node.hub.budgets.command = self.told.append

    async def member(self, user: str = "alice", room: str = "r", **budget: int) -> "Relayer":
        seat = await self.node.enter(token=token(self.node.clock, user, relay=budget))
        return Relayer(self, seat, (await seat.join(room))["ice"]["username"], room)


class Relayer:
    def __init__(self, world: World, seat: Seat, username: str, room: str) -> None:
        self.world, self.seat, self.username = world, seat, username
        self.user = seat.client.session.rooms[room].turn_user

    def allocate(self, number: int = 1) -> None:
        self.world.link.receive(Allocated(number, self.username, "udp", "198.51.100.7:1", "203.0.113.5:2"))

    def use(self, total: int, number: int = 1) -> list[dict[str, Any]]:
        """turnd has told that this relay has relayed so much; returns the quota frames that come of it."""
        self.world.link.receive(Usage(number, self.username, Traffic(1, total // 2, 1, total - total // 2)))
        return self.quotas()

    def quotas(self) -> list[dict[str, Any]]:
        return [frame["data"] for frame in self.seat.news() if frame["type"] == "quota"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_session_is_told_in_time_and_loses_its_relay_in_the_end(world: World) -> None:
    member = await world.member(session_bytes=1000)
    member.allocate()
    assert world.told == [Budget(1, member.username, 1000)]
    assert member.use(799) == []
    assert member.use(800) == [{"scope": "session", "used": 800, "limit": 1000, "exhausted": False}]
    assert member.use(999) == []
    assert member.use(1001) == [{"scope": "session", "used": 1001, "limit": 1000, "exhausted": True}]
    assert world.told[1:] == [Revoke(RevokeBy.USER, member.user, "quota")]
    counted = world.node.instruments.quotas
    assert (counted["session", "nearly"], counted["session", "used_up"]) == (1, 1)


async def test_relays_of_a_session_share_what_it_has(world: World) -> None:
    member = await world.member(session_bytes=1000)
    member.allocate(1)
    member.use(300, 1)
    world.link.receive(Ended(1, member.username, "client", 1.0, Traffic(1, 350, 0, 0)))
    member.allocate(2)
    assert world.told == [Budget(1, member.username, 1000), Budget(2, member.username, 650)]
    member.use(649, 2)
    assert len(world.told) == 2
    assert member.use(650, 2)[-1]["exhausted"]


async def test_leaving_and_coming_again_is_no_way_around(world: World) -> None:
    member = await world.member(session_bytes=1000)
    member.allocate()
    member.use(1000)
    await member.seat.say("leave", room="r")
    member.username = (await member.seat.join("r"))["ice"]["username"]
    member.allocate(2)
    assert world.told[-1] == Budget(2, member.username, 0)


async def test_members_share_what_a_room_has(world: World) -> None:
    first = await world.member("alice", room_bytes=1000)
    second = await world.member("bob", room_bytes=1000)
    elsewhere = await world.member("carol", room="other", room_bytes=1000)
    first.use(500)
    assert second.use(400) == [{"scope": "room", "used": 900, "limit": 1000, "exhausted": False}]
    assert elsewhere.use(700) == []
    assert first.use(600)[-1]["exhausted"]
    assert second.use(401)[-1]["exhausted"], "it drew on what was used up"
    assert [command.value for command in world.told if isinstance(command, Revoke)] == [first.user, second.user]


async def test_sessions_of_a_user_share_what_it_has(world: World) -> None:
    first, second = await world.member(total_bytes=1000), await world.member(total_bytes=1000)
    first.use(700)
    second.allocate()
    assert world.told == [Budget(1, second.username, 300)]
    assert second.use(300)[-1] == {"scope": Scope.TOTAL, "used": 1000, "limit": 1000, "exhausted": True}


async def test_the_least_of_several_counts_and_none_is_no_limit(world: World) -> None:
    member = await world.member(session_bytes=1000, total_bytes=500)
    free = await world.member("bob")
    member.allocate()
    free.allocate(2)
    assert free.use(10**12, 2) == []
    assert world.told == [Budget(1, member.username, 500)]


async def test_a_bandwidth_needs_no_budget(world: World) -> None:
    member = await world.member(bandwidth=250_000)
    member.allocate()
    assert world.told == [Budget(1, member.username, None, 250_000)]


async def test_a_living_relay_of_which_a_link_tells_again_keeps_its_budget(world: World) -> None:
    member = await world.member(session_bytes=1000)
    member.allocate()
    member.use(400)
    member.allocate()
    assert world.told == [Budget(1, member.username, 1000)] * 2


async def test_a_turnd_that_counts_anew_is_understood(world: World) -> None:
    member = await world.member(session_bytes=1000)
    member.use(500)
    assert member.use(300)[-1]["used"] == 800


async def test_what_is_counted_has_a_bound(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_POOLS", 2)
    monkeypatch.setattr(module, "_ALLOCATIONS", 2)
    member = await world.member(session_bytes=1000, room_bytes=1000, total_bytes=1000)
    for number in range(5):
        member.use(1, number)
    assert len(world.node.hub.budgets) == 4


async def test_a_budget_of_nothing_is_no_token(world: World) -> None:
    line_token = token(world.node.clock, relay={"session_bytes": 0})
    admitted = world.node.hub.policy.doorkeeper.admit(line_token, False, world.node.clock.now())
    assert not hasattr(admitted, "relay")
