"""Every way in which Redis can fail is one kind of error, in time."""

import asyncio

import pytest

from signal_api.engine.redis.scripts import BEAT, REGISTER
from signal_api.engine.redis.store import LostError, Store
from signal_api.refusals import EngineUnavailableError
from tests.redis_server import RedisServer


async def test_nobody_waits_longer_than_a_second_for_a_redis_that_stands_still(redis_server: RedisServer) -> None:
    store = Store(redis_server.url, "t")
    store.node = "n"
    await store.measure()
    await store.run(REGISTER)
    redis_server.pause()
    try:
        async with asyncio.timeout(1):
            with pytest.raises(EngineUnavailableError, match="does not answer"):
                await store.run(BEAT)
        assert store.is_away
        with pytest.raises(EngineUnavailableError, match="does not answer"):
            await store.run(BEAT)
    finally:
        redis_server.go_on()
    await store.measure()
    await store.probe(BEAT)
    assert not store.is_away
    await store.close()


async def test_a_redis_that_is_not_there_does_not_answer() -> None:
    store = Store("redis://127.0.0.1:1/0", "t")
    with pytest.raises(EngineUnavailableError):
        await store.measure()
    await store.close()


async def test_a_node_that_redis_does_not_know_is_told_so(one_redis: RedisServer, redis_prefix: str) -> None:
    store = Store(one_redis.url, redis_prefix)
    store.node = "nobody"
    await store.measure()
    with pytest.raises(LostError):
        await store.run(BEAT)
    await store.close()
