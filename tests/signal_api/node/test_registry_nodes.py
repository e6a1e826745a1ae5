"""Ids that clients chose, on two nodes that share a Redis."""

from signal_api.node.registry import Registry
from signal_api.protocol.claims import Claim
from signal_api.protocol.effects import Announce
from signal_api.protocol.refusals import CloseCode, ErrorCode
from tests.redis_server import RedisServer
from tests.signal_api.cluster import RedisNode, cluster_on
from tests.signal_api.socketless import Seat
from tests.waiting import eventually

ROOM = "peerjs:peerjs"


async def _claimed(node: RedisNode, seat: Seat, peer: str, owner: str = "o") -> ErrorCode | None:
    refusal = await Registry(node.hub, node.engine).claim(seat.client, ROOM, Claim(peer, owner), 9)
    return refusal.code if refusal is not None else None


async def test_an_id_is_given_once_and_taken_over_by_its_owner_alone(one_redis: RedisServer, redis_prefix: str) -> None:
    async with cluster_on(one_redis.url, redis_prefix) as cluster:
        one, other = await cluster.node(), await cluster.node()
        alice, thief, again = await one.enter(), await other.enter(), await other.enter()
        news: list[Announce] = []
        alice.client.on_news = news.append
        assert await _claimed(one, alice, "alice") is None
        assert await _claimed(other, thief, "alice", "another") is ErrorCode.ID_TAKEN
        assert await _claimed(other, thief, "bob", "another") is None
        await eventually(lambda: bool(news))
        assert (news[0].kind, b'"bob"' in news[0].member) == ("member.joined", True)
        assert await _claimed(other, again, "alice") is None
        await eventually(lambda: alice.line.closed is not None)
        assert alice.line.closed is CloseCode.REPLACED
        assert await Registry(one.hub, one.engine).ids(ROOM) == ["alice", "bob"]
        await thief.say("offer", room=ROOM, to="alice", data={"connectionId": "dc"})
        await eventually(lambda: any(frame["type"] == "offer" for frame in again.line.frames))
