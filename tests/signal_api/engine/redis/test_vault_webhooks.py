"""A change of which the answer was lost on its way from Redis is told to back ends all the same, once."""

import pytest

from signal_api.engine.redis.books import REPORT
from signal_api.engine.redis.scripts import COMMIT
from signal_api.engine.redis.store import PATIENCE
from signal_api.webhooks import Endpoint
from tests.redis_proxy import proxy_to
from tests.redis_server import RedisServer
from tests.signal_api.cluster import cluster_on
from tests.signal_api.receiver import Receiver
from tests.waiting import eventually

_REPORT = {"outcome": "connected", "path": "relay", "protocol": "udp"}


@pytest.mark.parametrize(
    ("asked", "script", "events"),
    [
        ("join", COMMIT, ["room.created", "member.joined"]),
        ("leave", COMMIT, ["member.left", "room.closed"]),
        ("report", REPORT, ["report"]),
    ],
)
async def test_what_happened_unheard_is_told_once(
    asked: str, script: str, events: list[str], one_redis: RedisServer, redis_prefix: str
) -> None:
    async with Receiver() as receiver, proxy_to(one_redis) as proxy, cluster_on(proxy.url, redis_prefix) as cluster:
        node = await cluster.node(patience=PATIENCE)
        node.hub.webhooks.start([Endpoint(receiver.url, b"key", frozenset(events))])
        seat = await node.enter(rooms=[] if asked == "join" else ["r"])
        seat.news()
        proxy.watch(script)
        data = _REPORT if asked == "report" else None
        await seat.say(asked, room="r", id="a", data=data)
        assert [frame["data"]["code"] for frame in seat.news() if frame["type"] == "error"] == ["engine_unavailable"]
        await eventually(lambda: not node.redis.troubles())
        await seat.say(asked, room="r", id="b" if asked == "leave" else "a", data=data)  # as a client does
        for kind in events:
            node.clock.move(2)
            node.hub.timers.run_due()
            told = (await receiver.next()).event
            assert (told["type"], told["data"]["room"]) == (kind, "r")
        await node.hub.webhooks.stop()
        assert receiver.taken.empty()
