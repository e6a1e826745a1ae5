"""What a token lets its user relay, counted over relays, members and sessions."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fairlead.link import Allocated, Budget, Command, Ended, Revoke, RevokeBy, Traffic, Usage
from signal_api.node import budgets as module
from signal_api.node.budgets import Scope
from signal_api.node.turn_link import TurnLink
from signal_api.protocol.refusals import EngineUnavailableError
from signal_api.relay.ledger import Spending, Spent
from tests.signal_api.socketless import Node, Seat
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

    async def allocate(self, number: int = 1) -> None:
        self.world.link.receive(Allocated(number, self.username, "udp", "198.51.100.7:1", "203.0.113.5:2"))
        await self.world.node.hub.settled()

    async def use(self, total: int, number: int = 1) -> list[dict[str, Any]]:
        """turnd has told that this relay has relayed so much; returns the quota frames that come of it."""
        self.world.link.receive(Usage(number, self.username, Traffic(1, total // 2, 1, total - total // 2)))
        await self.world.node.hub.settled()
        return self.quotas()

    def quotas(self) -> list[dict[str, Any]]:
        return [frame["data"] for frame in self.seat.news() if frame["type"] == "quota"]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_a_session_is_told_in_time_and_loses_its_relay_in_the_end(world: World) -> None:
    member = await world.member(session_bytes=1000)
    await member.allocate()
    assert world.told == [Budget(1, member.username, 1000)]
    assert await member.use(799) == []
    assert await member.use(800) == [{"scope": "session", "used": 800, "limit": 1000, "exhausted": False}]
    assert await member.use(999) == []
    assert await member.use(1001) == [{"scope": "session", "used": 1001, "limit": 1000, "exhausted": True}]
    expiring = int(world.node.clock.now().wall) + 3660
    assert world.told[1:] == [Revoke(RevokeBy.USER, member.user, "quota", expiring)]
    counted = world.node.instruments.quotas
    assert (counted["session", "nearly"], counted["session", "used_up"]) == (1, 1)


async def test_relays_of_a_session_share_what_it_has(world: World) -> None:
    member = await world.member(session_bytes=1000)
    await member.allocate(1)
    await member.use(300, 1)
    world.link.receive(Ended(1, member.username, "client", 1.0, Traffic(1, 350, 0, 0)))
    await member.allocate(2)
    assert world.told == [Budget(1, member.username, 1000), Budget(2, member.username, 650)]
    await member.use(649, 2)
    assert len(world.told) == 2
    assert (await member.use(650, 2))[-1]["exhausted"]


async def test_leaving_and_coming_again_is_no_way_around(world: World) -> None:
    member = await world.member(session_bytes=1000)
    await member.allocate()
    await member.use(1000)
    await member.seat.say("leave", room="r")
    member.username = (await member.seat.join("r"))["ice"]["username"]
    await member.allocate(2)
    assert world.told[-1] == Budget(2, member.username, 0)


async def test_members_share_what_a_room_has(world: World) -> None:
    first = await world.member("alice", room_bytes=1000)
    second = await world.member("bob", room_bytes=1000)
    elsewhere = await world.member("carol", room="other", room_bytes=1000)
    await first.use(500)
    assert await second.use(400) == [{"scope": "room", "used": 900, "limit": 1000, "exhausted": False}]
    assert await elsewhere.use(700) == []
    assert (await first.use(600))[-1]["exhausted"]
    assert (await second.use(401))[-1]["exhausted"], "it drew on what was used up"
    assert [command.value for command in world.told if isinstance(command, Revoke)] == [first.user, second.user]


async def test_sessions_of_a_user_share_what_it_has(world: World) -> None:
    first, second = await world.member(total_bytes=1000), await world.member(total_bytes=1000)
    await first.use(700)
    await second.allocate()
    assert world.told == [Budget(1, second.username, 300)]
    assert (await second.use(300))[-1] == {"scope": Scope.TOTAL, "used": 1000, "limit": 1000, "exhausted": True}


async def test_the_least_of_several_counts_and_none_is_no_limit(world: World) -> None:
    member = await world.member(session_bytes=1000, total_bytes=500)
    free = await world.member("bob")
    await member.allocate()
    await free.allocate(2)
    assert await free.use(10**12, 2) == []
    assert world.told == [Budget(1, member.username, 500)]


async def test_a_bandwidth_needs_no_budget(world: World) -> None:
    member = await world.member(bandwidth=250_000)
    await member.allocate()
    assert world.told == [Budget(1, member.username, None, 250_000)]


async def test_a_living_relay_of_which_a_link_tells_again_keeps_its_budget(world: World) -> None:
    member = await world.member(session_bytes=1000)
    await member.allocate()
    await member.use(400)
    await member.allocate()
    assert world.told == [Budget(1, member.username, 1000)] * 2


async def test_a_relay_is_counted_once_and_another_turnd_has_others(world: World) -> None:
    member = await world.member(session_bytes=1000)
    await member.use(500)
    world.link.receive(Ended(1, member.username, "client", 1.0, Traffic(1, 600, 0, 0)))
    assert await member.use(600) == [], "told behind the end of its relay"
    assert (await member.use(300, number=1 << 40))[-1]["used"] == 900


async def test_what_there_is_no_room_for_is_judged_by_what_is_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """turnd tells faster than the store counts: nobody is left without an answer, and no byte is given away."""
    monkeypatch.setattr(module, "_WAITING", 2)
    monkeypatch.setattr(module, "_TOGETHER", 1)
    member, budgets = await world.member(session_bytes=1000), world.node.hub.budgets
    spend, may_go_on = budgets.spend, asyncio.Event()
    assert spend is not None
    await member.use(100)

    async def slow(spendings: Sequence[Spending]) -> list[Spent]:
        await may_go_on.wait()
        return await spend(spendings)

    budgets.spend = slow
    for number in range(2, 8):
        world.link.receive(Allocated(number, member.username, "udp", "198.51.100.7:1", "203.0.113.5:2"))
        if number == 2:
            await asyncio.sleep(0)  # It is being counted, and two more may wait.
    assert world.told == [Budget(number, member.username, 900) for number in (5, 6, 7)]
    world.link.receive(Ended(7, member.username, "revoked", 1.0, Traffic(1, 300, 0, 0)))
    assert [frame["data"] for frame in member.seat.news() if frame["type"] == "turn"] == [
        {"event": "ended", "reason": "revoked"}
    ]
    may_go_on.set()
    await world.node.hub.settled()
    assert sorted(command.allocation for command in world.told if isinstance(command, Budget)) == [2, 3, 4, 5, 6, 7]
    assert (await member.use(600, 6))[-1]["used"] == 1000


async def test_while_the_store_is_away_a_node_goes_by_what_it_knows(world: World) -> None:
    member, budgets = await world.member(session_bytes=1000), world.node.hub.budgets
    spend = budgets.spend

    async def away(spendings: Sequence[Spending]) -> list[Spent]:
        raise EngineUnavailableError("the store does not answer")

    await member.use(300)
    budgets.spend = away
    assert (await member.use(800))[-1]["used"] == 800
    world.link.receive(Ended(1, member.username, "client", 1.0, Traffic(1, 900, 0, 0)))
    await world.node.hub.settled()
    budgets.spend = spend
    await member.allocate(2)
    assert world.told[-1] == Budget(2, member.username, 100), "what ended meanwhile was told later"


async def test_a_budget_of_nothing_is_no_token(world: World) -> None:
    line_token = token(world.node.clock, relay={"session_bytes": 0})
    admitted = world.node.hub.policy.doorkeeper.admit(line_token, False, world.node.clock.now())
    assert not hasattr(admitted, "relay")
