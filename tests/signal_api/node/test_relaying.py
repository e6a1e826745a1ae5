"""Who may relay in a room just now, at every door that gives a credential for it."""

from pathlib import Path

import pytest

from fairlead.link import Allocated, Budget, Command, Revoke, RevokeBy, Traffic, Usage
from signal_api.engine.contract import Stored
from signal_api.node.relaying import Relaying
from signal_api.node.turn_link import TurnLink
from signal_api.protocol.moderation import Alteration
from signal_api.protocol.refusals import EngineUnavailableError
from tests.redis_server import RedisServer
from tests.signal_api.cluster import cluster_on
from tests.signal_api.service import Service
from tests.signal_api.socketless import Node
from tests.signal_api.transports.test_peerjs import enter
from tests.signal_api.worlds import JOIN_KEY, token

PEERS = "peerjs:peerjs"


async def test_it_is_as_the_room_says_now_and_as_it_said_while_the_store_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = Node()
    opener = await node.enter()
    await opener.join("r", create={"roles": {"viewer": ["publish", "ice"]}})
    seat = await node.enter(token=token(node.clock, role="viewer"))
    await seat.join("r")
    membership, relaying = seat.client.session.rooms["r"], Relaying(node.hub, node.engine)

    async def away(name: str) -> Stored:
        raise EngineUnavailableError("the store does not answer")

    with monkeypatch.context() as outage:
        outage.setattr(node.engine, "load", away)
        assert await relaying.allows(seat.client, membership)
    await node.dispatch.verbs.steward.alter("r", Alteration(roles={"viewer": ("publish",)}))
    assert not await relaying.allows(seat.client, membership)
    await node.dispatch.verbs.steward.alter("r", Alteration(roles={}))
    assert await relaying.allows(seat.client, membership)


async def test_a_role_that_loses_the_right_is_refused_where_it_asks() -> None:
    async with Service() as service:
        opener = await service.enter(rooms=["r"])
        await opener.hear("joined")
        viewer = await service.enter(token=token(service.clock, role="viewer"), rooms=["r"])
        welcome = (await viewer.hear("welcome"))["data"]
        await viewer.hear("joined")
        bearer, asked = {"Authorization": f"Bearer {welcome['key']}"}, {"sid": welcome["sid"], "room": "r"}
        assert (await service.http.post("/v1/ice", headers=bearer, json=asked)).status_code == 200
        stored = await service.engine.load("r")
        assert stored.room is not None
        terms = Alteration(roles={"viewer": ("publish",)}).applied_to(stored.room.terms)
        closed = stored.room.__replace__(terms=terms)
        assert await service.engine.commit("r", stored.version, closed, ())
        reply = await service.http.post("/v1/ice", headers=bearer, json=asked)
        assert (reply.status_code, reply.json()["code"]) == (403, "forbidden")


async def test_a_peer_of_peerjs_relays_under_the_budget_of_its_token(tmp_path: Path) -> None:
    """As a member of sig.v1 does: what it relays is counted, and ends with the budget."""
    async with Service() as service:
        told: list[Command] = []
        link = TurnLink(tmp_path / "link", service.hub)
        service.hub.rights.command = service.hub.budgets.command = told.append
        hers = token(service.clock, "ann", relay={"session_bytes": 1000})
        bearer, asked = {"Authorization": f"Bearer {hers}"}, {"room": PEERS, "member": "ann-1"}
        assert (await service.http.post("/v1/ice", headers=bearer, json=asked)).status_code == 403
        peer = await enter(service, "ann-1", token=hers)
        given = await service.http.post("/v1/ice", headers=bearer, json=asked)
        assert given.status_code == 200
        username = given.json()["username"]
        (client,) = service.hub.roster
        turn_user = client.session.rooms[PEERS].turn_user
        assert username.partition(":")[2] == turn_user
        for event in (
            Allocated(1, username, "udp", "198.51.100.7:1", "203.0.113.5:2"),
            Usage(1, username, Traffic(1, 1001, 0, 0)),
        ):
            link.receive(event)
            await service.hub.settled()
        budget, revoke = told
        assert budget == Budget(1, username, 1000)
        assert isinstance(revoke, Revoke)
        assert (revoke.by, revoke.value, revoke.reason) == (RevokeBy.USER, turn_user, "quota")
        await peer.say("LEAVE")
        await peer.end()
        assert (await service.http.post("/v1/ice", headers=bearer, json=asked)).status_code == 403


async def test_nobody_else_is_given_what_a_member_may_relay() -> None:
    async with Service(peerjs__open=True) as service:
        hers = token(service.clock, "ann")
        await enter(service, "ann-1", token=hers)
        await enter(service, "guest")
        no_ice, elsewhere = token(service.clock, "ann", can=["join"]), token(service.clock, "ann", rooms=["other"])
        for bearer, member, status in (
            (hers, "ann-1", 200),
            (token(service.clock, "ann"), "ann-1", 200),
            (hers, "ann-2", 403),
            (hers, "guest", 403),
            (JOIN_KEY, "guest", 401),
            (token(service.clock, "bob"), "ann-1", 403),
            (no_ice, "ann-1", 403),
            (elsewhere, "ann-1", 403),
            (token(service.clock, "ann", lifetime=-1), "ann-1", 401),
            ("wrong", "ann-1", 401),
        ):
            headers, asked = {"Authorization": f"Bearer {bearer}"}, {"room": PEERS, "member": member}
            assert (await service.http.post("/v1/ice", headers=headers, json=asked)).status_code == status, member


@pytest.mark.parametrize("body", [{}, {"sid": "s", "member": "m"}, {"sid": "", "member": ""}])
async def test_a_membership_is_named_in_one_way(body: dict[str, str]) -> None:
    async with Service() as service:
        headers = {"Authorization": f"Bearer {token(service.clock)}"}
        reply = await service.http.post("/v1/ice", headers=headers, json={"room": "r"} | body)
        assert (reply.status_code, reply.json()["code"]) == (400, "bad_request")


@pytest.mark.requires("redis-server")
async def test_another_node_knows_the_member_as_well(one_redis: RedisServer, redis_prefix: str) -> None:
    async with cluster_on(one_redis.url, redis_prefix) as cluster:
        one, other = await cluster.node(), await cluster.node()
        seat = await one.enter(token=token(one.clock, "ann"), rooms=["r"])
        await one.kept()
        membership, relaying = seat.client.session.rooms["r"], Relaying(other.hub, other.engine)
        client = await relaying.client_of("ann", "r", membership.member)
        assert client is not None
        assert client.session.rooms["r"].turn_user == membership.turn_user
        assert await relaying.allows(client, client.session.rooms["r"])
        assert await relaying.client_of("bob", "r", membership.member) is None
        assert await relaying.client_of("ann", "r", "m_nobody") is None
