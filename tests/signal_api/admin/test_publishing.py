"""Frames from back ends, as clients get them."""

import httpx
import pytest

from tests.signal_api.service import Service
from tests.signal_api.worlds import token


async def test_a_room_hears_the_server_in_a_numbered_frame(admin: httpx.AsyncClient, service: Service) -> None:
    peers = [await service.enter(rooms=["r"]) for _ in range(2)]
    ids = [(await peer.hear("joined"))["data"]["self"]["id"] for peer in peers]
    sent = await admin.post("/rooms/r/publish", json={"data": {"text": "zwei\nZeilen €"}})
    assert (sent.status_code, sent.json()) == (202, {"recipients": 2})
    for peer in peers:
        frame = await peer.hear("message")
        assert frame["from"] is None
        assert frame["room"] == "r"
        assert frame["seq"] > 1
        assert frame["data"] == {"text": "zwei\nZeilen €"}
    one = await admin.post("/rooms/r/publish", json={"type": "x.bell", "to": [ids[1], ids[1]]})
    assert one.json() == {"recipients": 1}
    assert (await peers[1].hear("x.bell"))["data"] is None
    absent = await admin.post("/rooms/r/publish", json={"to": ["m_nobody"]})
    assert (absent.status_code, absent.json()["details"]) == (404, {"to": ["m_nobody"]})
    assert (await admin.post("/rooms/empty/publish", json={})).status_code == 404


async def test_a_user_hears_it_in_every_session_and_after_a_break(admin: httpx.AsyncClient, service: Service) -> None:
    ann = await service.enter(token=token(service.clock, "ann/1"))
    bob = await service.enter(token=token(service.clock, "bob"))
    welcome = (await ann.hear("welcome"))["data"]
    ann.socket.transport.abort()
    sent = await admin.post("/users/ann%2F1/publish", json={"data": 7})
    assert (sent.status_code, sent.json()) == (202, {"recipients": None})
    back = await service.enter(
        token=None, resume={"sid": welcome["sid"], "key": welcome["key"], "after": f"{welcome['epoch']}.1"}
    )
    assert (await back.hear("message"))["data"] == 7
    await bob.say("ping", id="p")
    assert (await bob.hear("pong"))["re"] == "p"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"type": "offer"}, 400),
        ({"type": "room.closed"}, 400),
        ({"data": "x" * 65536}, 413),
        ({"to": []}, 400),
    ],
)
async def test_what_may_not_be_published(
    admin: httpx.AsyncClient, service: Service, body: dict[str, object], status: int
) -> None:
    peer = await service.enter(rooms=["r"])
    await peer.hear("joined")
    assert (await admin.post("/rooms/r/publish", json=body)).status_code == status


@pytest.mark.parametrize("data", ["NaN", "1e999", "[" * 40 + "]" * 40, "{"])
async def test_what_is_no_json_reaches_nobody(admin: httpx.AsyncClient, service: Service, data: str) -> None:
    peer = await service.enter(rooms=["r"])
    await peer.hear("joined")
    headers = {"content-type": "application/json"}
    reply = await admin.post("/rooms/r/publish", content=f'{{"data": {data}}}', headers=headers)
    assert reply.status_code == 400, reply.text
