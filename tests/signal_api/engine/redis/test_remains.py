"""What is left in the stream of a node."""

from signal_api.engine.redis.parcels import for_nodes
from signal_api.engine.redis.remains import Remains
from signal_api.engine.redis.scripts import PUBLISH, REGISTER, TELL
from signal_api.protocol.effects import Deliver, Tell
from signal_api.protocol.messages import server_frame
from tests.redis_server import RedisServer
from tests.signal_api.engine.engines import store_on

_FRAME = server_frame("message")


async def test_a_session_finds_its_own_effects_and_any_hole(one_redis: RedisServer, redis_prefix: str) -> None:
    store = store_on(one_redis.url, redis_prefix)
    await store.measure()
    await store.run(REGISTER)
    one_redis.command("HSET", f"{redis_prefix}:s:a", "node", "n")
    one_redis.command("HSET", f"{redis_prefix}:s:b", "node", "n")
    to_both, to_one, to_user = Deliver(("a", "b"), _FRAME), Deliver(("b",), _FRAME), Tell("alice", _FRAME)
    for effect in (to_both, to_one, to_user):
        await store.run(PUBLISH, "", "", *for_nodes((effect,)))
    remains = Remains(store)
    mine = Deliver(("a",), _FRAME)
    assert await remains.of("n", "a", None, 1, 3) == [mine]
    assert await remains.of("n", "a", "alice", 1, 3) == [mine, mine]
    assert await remains.of("n", "a", "alice", 2, 2) == []
    await store.run(TELL, "n", "x", "", "")
    assert await remains.of("n", "b", None, 2, 4) == [to_one]
    assert await remains.of("n", "b", None, 2, 5) is None
    one_redis.command("XTRIM", f"{redis_prefix}:in:n", "MINID", "3-0")
    assert await Remains(store).of("n", "b", None, 1, 3) is None
    await store.close()
