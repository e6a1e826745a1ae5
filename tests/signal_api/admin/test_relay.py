"""What was relayed for a room, by the admin API."""

import httpx

from fairlead.link import Allocated, Traffic, Usage
from tests.signal_api.service import Service


async def test_bytes_and_outcomes_of_a_room(admin: httpx.AsyncClient, service: Service) -> None:
    service.hub.sightings.is_linked = lambda: True
    peer = await service.enter(rooms=["a/b"])
    joined = (await peer.hear("joined"))["data"]
    username = joined["ice"]["username"]
    service.hub.sightings.note(Allocated(1, username, "udp", "198.51.100.7:1", "203.0.113.5:2"), 0)
    service.hub.sightings.note(Usage(1, username, Traffic(3, 300, 0, 0)), 0)
    await peer.say("report", room="a/b", id="1", data={"outcome": "failed"})
    await peer.hear("ok")
    told = (await admin.get("/rooms/a/b/relay")).json()
    assert (told["linked"], told["traffic"]["bytes_to_peer"]) == (True, 300)
    (member,) = told["members"]
    assert member["member"] == joined["self"]["id"]
    assert "nothing came back" in member["outcomes"][0]["why"]
    assert not any(client.sid in str(told) for client in service.hub.roster), "sessions are not named here"


async def test_a_room_that_is_not_there(admin: httpx.AsyncClient) -> None:
    assert (await admin.get("/rooms/nowhere/relay")).status_code == 404
