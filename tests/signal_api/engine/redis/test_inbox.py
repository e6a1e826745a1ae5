"""A node's stream is read in order, and a hole in it is seen."""

import asyncio

from signal_api.engine.redis.inbox import Inbox
from signal_api.engine.redis.scripts import REGISTER, TELL
from tests.redis_server import RedisServer
from tests.signal_api.engine.engines import store_on
from tests.waiting import eventually


async def test_entries_come_in_order_until_one_is_missing(one_redis: RedisServer, redis_prefix: str) -> None:
    store, heard, losses = store_on(one_redis.url, redis_prefix), list[tuple[int, bytes]](), list[int]()
    await store.measure()
    await store.run(REGISTER)
    inbox = Inbox(store, lambda number, kind, a, b: heard.append((number, a)), lambda: losses.append(1))
    reading = asyncio.create_task(inbox.run())
    for number in range(3):
        await store.run(TELL, "n", "x", number, "")
    await eventually(lambda: heard == [(1, b"0"), (2, b"1"), (3, b"2")])
    assert inbox.applied == 3
    one_redis.command("HINCRBY", f"{redis_prefix}:n:n", "last", "1")
    await store.run(TELL, "n", "x", "after the hole", "")
    await eventually(lambda: losses == [1])
    assert len(heard) == 3
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await store.close()
