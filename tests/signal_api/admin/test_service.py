"""The node, its sessions and dead credentials, by the admin API."""

import httpx

from fairlead.link import Command, Revoke, RevokeBy
from tests.signal_api.service import Service
from tests.signal_api.worlds import token


async def test_sessions_are_listed_and_ended(admin: httpx.AsyncClient, service: Service) -> None:
    ann = await service.enter(token=token(service.clock, "ann", role="host"), rooms=["r"])
    await ann.hear("joined")
    await (await service.enter()).hear("welcome")
    first = (await admin.get("/sessions", params={"limit": 1})).json()
    second = (await admin.get("/sessions", params={"limit": 1, "after": first["next"]})).json()
    assert second["next"] is None
    assert {first["items"][0]["user"], second["items"][0]["user"]} == {"ann", None}
    (hers,) = (await admin.get("/sessions", params={"user": "ann"})).json()["items"]
    assert (hers["transport"], hers["rooms"], hers["role"]) == ("websocket", ["r"], "host")
    assert (await admin.get(f"/sessions/{hers['sid']}")).json() == hers
    assert (await admin.delete(f"/sessions/{hers['sid']}")).status_code == 204
    assert await ann.end() == 4006
    assert (await admin.get(f"/sessions/{hers['sid']}")).status_code == 404


async def test_stats_say_how_it_stands(admin: httpx.AsyncClient, service: Service) -> None:
    await (await service.enter(rooms=["r"])).hear("joined")
    stats = (await admin.get("/stats")).json()
    assert {key: stats[key] for key in ("connected", "away", "rooms", "members", "draining")} == {
        "connected": 1,
        "away": 0,
        "rooms": 1,
        "members": 1,
        "draining": False,
    }


async def test_a_revoked_user_is_out_until_it_has_a_new_token(admin: httpx.AsyncClient, service: Service) -> None:
    before = token(service.clock, "ann")
    ann = await service.enter(token=before)
    await ann.hear("welcome")
    made = await admin.post("/revocations", json={"kind": "user", "id": "ann", "seconds": 600})
    assert made.status_code == 201
    assert await ann.end() == 4001
    assert await (await service.enter(token=before)).end() == 4001
    reply = await service.http.get("/v1/ice", headers={"Authorization": f"Bearer {before}"})
    assert reply.status_code == 401
    assert [row["id"] for row in (await admin.get("/revocations")).json()["items"]] == ["ann"]
    service.pass_time(1)
    await (await service.enter(token=token(service.clock, "ann"))).hear("welcome")
    assert (await admin.delete("/revocations/user/ann")).status_code == 204
    await (await service.enter(token=before)).hear("welcome")


async def test_turn_credentials_are_revoked_over_the_link(admin: httpx.AsyncClient, service: Service) -> None:
    told: list[Command] = []
    service.hub.rights.command = told.append
    assert (await admin.post("/turn/revoke", json={"user": "camera-7"})).status_code == 202
    assert told == [Revoke(RevokeBy.USER, "camera-7", "revoked by a back end")]


async def test_without_a_link_a_back_end_hears_that_nothing_was_revoked(admin: httpx.AsyncClient) -> None:
    refused = await admin.post("/turn/revoke", json={"user": "camera-7"})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    assert "link.redis" in refused.json()["detail"]


async def test_a_node_sends_its_clients_away_and_takes_them_in_again(
    admin: httpx.AsyncClient, service: Service
) -> None:
    peer = await service.enter()
    await peer.hear("welcome")
    assert (await admin.post("/drain", json={"window": 0})).status_code == 202
    await peer.hear("drain")
    assert await peer.end() == 4200
    assert (await admin.get("/stats")).json()["draining"] is True
    assert (await service.http.post("/v1/sessions", json={"v": 1})).status_code == 503
    assert (await admin.delete("/drain")).status_code == 204
    await (await service.enter()).hear("welcome")
