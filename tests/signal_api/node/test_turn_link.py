"""Events of turnd: counted, and told to the member whom they concern."""

import asyncio
from pathlib import Path

import pytest

from fairlead.link import Allocated, Draining, Ended, Event, LinkServer, Refused, Traffic, Usage
from signal_api.node.turn_link import TurnLink
from signal_api.relay.sightings import relay_view
from tests.signal_api.socketless import Node, Seat


def _refused(username: str, method: str = "allocate", code: int = 486) -> Refused:
    return Refused(username, "198.51.100.7:5000", method, code, "quota reached")


async def _member(node: Node) -> tuple[Seat, str]:
    seat = await node.enter()
    username: str = (await seat.join("r"))["ice"]["username"]
    return seat, username


async def test_a_refused_allocation_reaches_its_member_and_nobody_else(tmp_path: Path) -> None:
    node = Node()
    (seat, username), (other, _) = await _member(node), await _member(node)
    await node.pass_time(1)
    seat.news()
    link = TurnLink(tmp_path / "link", node.hub)
    link.receive(_refused(username))
    (frame,) = seat.news()
    assert (frame["type"], frame["room"]) == ("turn", "r")
    assert frame["data"] == {"event": "refused", "reason": "quota reached", "code": 486}
    assert other.news() == []


@pytest.mark.parametrize(
    ("reason", "told"), [("revoked", True), ("admin", True), ("client", False), ("expired", False)]
)
async def test_an_end_is_told_when_it_was_not_the_clients(tmp_path: Path, reason: str, told: bool) -> None:
    node = Node()
    seat, username = await _member(node)
    TurnLink(tmp_path / "link", node.hub).receive(Ended(1, username, reason, 3.0, Traffic()))
    assert [frame["data"] for frame in seat.news()] == ([{"event": "ended", "reason": reason}] if told else [])


@pytest.mark.parametrize(
    "event",
    [
        _refused("1763798700:alice"),
        _refused("alice"),
        _refused("1763798700:aaaaaaaaaaaaaaaa.s_nobody"),
        Allocated(1, "1763798700:x.s_y", "udp", "198.51.100.7:5000", "203.0.113.5:50000"),
        Usage(1, "1763798700:x.s_y", Traffic()),
        Draining(60.0),
    ],
)
async def test_what_concerns_no_member_is_counted(tmp_path: Path, event: Event) -> None:
    node = Node()
    TurnLink(tmp_path / "link", node.hub).receive(event)
    assert sum(node.instruments.turn_events.values()) == 1


async def test_a_denied_peer_is_no_news(tmp_path: Path) -> None:
    """Browsers try every pair of candidates; most permissions for private addresses are refused, and nobody minds."""
    node = Node()
    seat, username = await _member(node)
    TurnLink(tmp_path / "link", node.hub).receive(_refused(username, "create_permission", 403))
    assert seat.news() == []


async def test_events_come_over_the_socket(tmp_path: Path) -> None:
    node = Node()
    seat, username = await _member(node)
    seat.line.heard.clear()
    server = LinkServer(tmp_path / "link", lambda _: None, lambda: [_refused(username)])
    await server.start()
    link = TurnLink(tmp_path / "link", node.hub)
    link.start()
    try:
        await asyncio.wait_for(seat.line.heard.wait(), 10)
        assert seat.types() == ["turn"]
        assert link.connected
    finally:
        await link.stop()
        await server.stop()


async def test_what_turnd_tells_is_kept_for_who_asks_later(tmp_path: Path) -> None:
    node = Node()
    seat, username = await _member(node)
    link = TurnLink(tmp_path / "link", node.hub)
    link.receive(Allocated(1, username, "udp", "198.51.100.7:5000", "203.0.113.5:50000"))
    view = relay_view(node.hub.sightings, seat.client.session)
    assert not view.linked
    assert [relay.relayed for room in view.rooms for relay in room.relays] == ["203.0.113.5:50000"]
