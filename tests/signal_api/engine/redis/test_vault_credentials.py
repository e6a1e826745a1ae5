"""A session that goes on at another node relays on: its next TURN credential comes in time, from there."""

from typing import Any

import pytest

from fairlead.credentials import parse_username
from tests.signal_api.cluster import Cluster
from tests.signal_api.socketless import Seat
from tests.waiting import eventually


async def _join(seat: Seat) -> dict[str, Any]:
    """What the client was given with the room."""
    await eventually(lambda: "joined" in [frame["type"] for frame in seat.line.frames])
    given: dict[str, Any] = next(f["data"]["ice"] for f in seat.line.frames if f["type"] == "joined")
    return given


@pytest.mark.parametrize("how", ["handed over", "left behind"])
async def test_a_credential_is_renewed_by_the_node_that_took_the_session(how: str, cluster: Cluster) -> None:
    one, other = await cluster.node(), await cluster.node()
    alice = await one.enter(rooms=["r"])
    given = await _join(alice)
    await eventually(lambda: "r" in alice.client.session.rooms)
    if how == "left behind":
        await one.kept()
        await one.die()
    again = await other.resume(alice, f"{alice.welcome['epoch']}.2")
    assert again.welcome["resumed"]
    other.clock.move(given["ttl"] * 0.75)  # refresh_at
    other.hub.timers.run_due()
    await eventually(lambda: "ice" in [frame["type"] for frame in again.line.frames])
    fresh = next(frame for frame in again.line.frames if frame["type"] == "ice")
    assert fresh["room"] == "r"
    old, new = _username(given), _username(fresh["data"])
    assert new.user_id == old.user_id
    assert new.expires > old.expires
    assert one.instruments.ice_issued["push",] == 0


def _username(ice: dict[str, Any]) -> Any:
    return parse_username(next(row["username"] for row in ice["iceServers"] if "username" in row))
