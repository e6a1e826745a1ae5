"""What happens in rooms and relays is told to back ends."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fairlead.link import Allocated, Ended, Refused, Traffic
from signal_api.node.turn_link import TurnLink
from signal_api.webhooks import EVENTS, Endpoint
from tests.signal_api.receiver import Receiver
from tests.signal_api.socketless import Node


@asynccontextmanager
async def _listening() -> AsyncIterator[tuple[Node, Receiver]]:
    node = Node()
    async with Receiver() as receiver:
        node.hub.webhooks.start([Endpoint(receiver.url, b"key")])
        try:
            yield node, receiver
        finally:
            await node.hub.webhooks.stop()


async def _next(receiver: Receiver, kind: str) -> dict[str, Any]:
    event = (await receiver.next()).event
    assert event["type"] == kind
    assert kind in EVENTS
    data: dict[str, Any] = event["data"]
    return data


async def test_rooms_and_members_come_and_go_and_what_they_relayed_is_told_last() -> None:
    async with _listening() as (node, receiver):
        seat = await node.enter()
        member = (await seat.join("r"))["self"]["id"]
        assert await _next(receiver, "room.created") == {"room": "r"}
        assert await _next(receiver, "member.joined") == {"room": "r", "member": member, "user": None}
        await seat.say("meta.set", room="r", data={"meta": 1})
        username = f"1763798700:{seat.client.session.rooms['r'].turn_user}"
        node.hub.sightings.note(Allocated(1, username, "udp", "198.51.100.7:1", "203.0.113.5:2"), 0)
        await seat.say("leave", room="r")
        node.hub.sightings.note(Ended(1, username, "revoked", 3.0, Traffic(1, 2, 3, 4)), 0)
        await node.pass_time(2)
        left = await _next(receiver, "member.left")
        assert (left["member"], left["reason"], left["traffic"]["bytes_to_client"]) == (member, "leave", 4)
        assert await _next(receiver, "room.closed") == {"room": "r"}


async def test_relays_are_told_of_when_they_are_a_members(tmp_path: Any) -> None:
    async with _listening() as (node, receiver):
        link = TurnLink(tmp_path / "link", node.hub)
        for user in ("alice", "1763798700:alice"):
            link.receive(Allocated(1, user, "udp", "198.51.100.7:1", "203.0.113.5:2"))
        seat = await node.enter()
        username = (await seat.join("r"))["ice"]["username"]
        for kind in ("room.created", "member.joined"):
            await _next(receiver, kind)
        link.receive(Allocated(1, "1763798700:r00m.s_1.n", "udp", "198.51.100.7:1", "203.0.113.5:2"))
        link.receive(Allocated(1, username, "udp", "198.51.100.7:1", "203.0.113.5:2"))
        link.receive(Refused(username, "198.51.100.7:1", "create_permission", 403, "denied"))
        link.receive(Refused(username, "198.51.100.7:1", "allocate", 486, "quota"))
        await seat.say("leave", room="r")
        node.hub.end(seat.client)
        link.receive(Ended(1, username, "client", 3.0, Traffic(1, 2, 3, 4)))
        assert (await _next(receiver, "allocation.created"))["relayed"] == "203.0.113.5:2"
        assert (await _next(receiver, "allocation.refused"))["code"] == 486
        ended = await _next(receiver, "allocation.ended")
        assert (ended["session"], ended["reason"], ended["traffic"]["bytes_to_peer"]) == (seat.client.sid, "client", 2)


async def test_reports_are_told() -> None:
    async with _listening() as (node, receiver):
        seat = await node.enter()
        member = (await seat.join("r"))["self"]["id"]
        await seat.say("report", room="r", data={"outcome": "connected", "path": "relay", "protocol": "tls"})
        for kind in ("room.created", "member.joined"):
            await _next(receiver, kind)
        told = await _next(receiver, "report")
        assert (told["member"], told["outcome"], told["path"], told["protocol"]) == (
            member,
            "connected",
            "relay",
            "tls",
        )


async def test_while_nobody_listens_nothing_is_made_of_it() -> None:
    node = Node()
    seat = await node.enter()
    await seat.join("r")
    before = len(node.hub.timers)
    await seat.say("leave", room="r")
    assert len(node.hub.timers) == before
