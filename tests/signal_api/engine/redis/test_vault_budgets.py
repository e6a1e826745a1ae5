"""Whoever goes on at another node has what is left of its budget there, and its reports are known everywhere."""

from pathlib import Path
from typing import Any

import pytest

from fairlead.link import Allocated, Budget, Command, Ended, Event, Revoke, RevokeBy, Traffic, Usage
from signal_api.node.turn_link import TurnLink
from signal_api.relay.stats import room_stats
from tests.signal_api.cluster import Cluster, RedisNode
from tests.signal_api.socketless import Seat
from tests.signal_api.worlds import token
from tests.waiting import eventually


class Relay:
    """turnd as the nodes hear of it: every event reaches every node. What they tell it is in a list."""

    def __init__(self, folder: Path, *nodes: RedisNode) -> None:
        self.told: list[Command] = []
        self._nodes = nodes
        self._links = [TurnLink(folder / "link", node.hub) for node in nodes]
        for node in nodes:
            node.hub.rights.command = node.hub.budgets.command = self.told.append

    async def says(self, event: Event) -> None:
        for node, link in zip(self._nodes, self._links, strict=True):
            link.receive(event)
            await node.hub.settled()


def _traffic(total: int) -> Traffic:
    return Traffic(1, total, 0, 0)


async def _joined(seat: Seat) -> dict[str, Any]:
    await eventually(lambda: "joined" in [frame["type"] for frame in seat.line.frames])
    data: dict[str, Any] = next(frame["data"] for frame in seat.line.frames if frame["type"] == "joined")
    return data


async def _move(seat: Seat, node: RedisNode, hers: str) -> Seat:
    resume = {key: seat.welcome[key] for key in ("sid", "key")} | {"after": f"{seat.welcome['epoch']}.1"}
    return await node.enter(token=hers, resume=resume)


@pytest.mark.parametrize("budget", [{"session_bytes": 1000}, {"total_bytes": 1000}, {"room_bytes": 1000}])
async def test_another_node_is_no_second_budget(cluster: Cluster, tmp_path: Path, budget: dict[str, int]) -> None:
    one, other = await cluster.node(), await cluster.node()
    relay, hers = Relay(tmp_path, one, other), token(one.clock, relay=budget)
    alice = await one.enter(token=hers, rooms=["r"])
    username = (await _joined(alice))["ice"]["username"]
    user = alice.client.session.rooms["r"].turn_user
    await relay.says(Allocated(1, username, "udp", "198.51.100.7:1", "203.0.113.5:2"))
    await relay.says(Usage(1, username, _traffic(600)))
    again = await _move(alice, other, hers)
    await relay.says(Usage(1, username, _traffic(700)))
    await relay.says(Ended(1, username, "client", 1.0, _traffic(750)))
    await relay.says(Allocated(2, username, "udp", "198.51.100.7:1", "203.0.113.5:2"))
    assert relay.told == [Budget(1, username, 1000), Budget(2, username, 250)]
    back = await _move(again, one, hers)
    await relay.says(Usage(2, username, _traffic(251)))
    revoked = [(said.by, said.value, said.reason) for said in relay.told[2:] if isinstance(said, Revoke)]
    assert revoked == [(RevokeBy.USER, user, "quota")]
    await eventually(lambda: "quota" in [frame["type"] for frame in back.line.frames])
    quotas = [frame["data"] for frame in back.line.frames if frame["type"] == "quota"]
    assert [(quota["used"], quota["exhausted"]) for quota in quotas] == [(1001, True)]


async def test_a_report_is_known_wherever_somebody_asks_and_counts_once(cluster: Cluster) -> None:
    one, other = await cluster.node(), await cluster.node()
    alice = await one.enter(rooms=["r"])
    await _joined(alice)
    await eventually(lambda: "r" in alice.client.session.rooms)
    told = {"outcome": "failed", "connect_ms": 15000}
    await alice.say("report", room="r", id="c1", data=told)
    assert alice.line.frames[-1]["type"] == "ok"
    await one.die()
    again = await other.resume(alice, f"{alice.welcome['epoch']}.1")
    await again.say("report", room="r", id="c1", data=told)
    assert again.line.frames[-1]["type"] == "ok"
    assert one.instruments.reports["failed", "none"] + other.instruments.reports["failed", "none"] == 1
    room = (await other.engine.load("r")).room
    assert room is not None
    reports = await other.engine.reports([member.turn_user for member in room.members.values()])
    (member,) = room_stats(room, other.hub.sightings, reports).members
    assert [outcome.report.connect_ms for outcome in member.outcomes] == [15000]
