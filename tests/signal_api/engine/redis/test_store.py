"""Every way in which Redis can fail is one kind of error, in time."""

import asyncio
import time

import pytest

from signal_api.engine.redis import store as store_module
from signal_api.engine.redis.scripts import BEAT, REGISTER, TELL
from signal_api.engine.redis.store import LostError, Store
from signal_api.protocol.refusals import EngineUnavailableError
from tests.redis_proxy import proxy_to
from tests.redis_server import PATIENT, RedisServer
from tests.signal_api.engine.engines import store_on


async def _registered(url: str, prefix: str, patience: float = PATIENT) -> Store:
    """A store whose node Redis knows."""
    store = store_on(url, prefix, patience=patience)
    await store.measure()
    await store.run(REGISTER)
    return store


async def test_nobody_waits_longer_than_a_second_for_a_redis_that_stands_still(redis_server: RedisServer) -> None:
    assert store_module.PATIENCE + store_module._WAIT <= 1
    store = await _registered(redis_server.url, "t", store_module.PATIENCE)
    redis_server.pause()
    try:
        async with asyncio.timeout(20):
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


async def test_one_call_without_an_answer_costs_no_other_its_own(one_redis: RedisServer, redis_prefix: str) -> None:
    async with proxy_to(one_redis) as proxy:
        store = await _registered(proxy.url, redis_prefix, patience=2)
        proxy.watch(BEAT)
        unanswered = asyncio.create_task(store.run(BEAT))
        await proxy.asked.wait()
        await asyncio.sleep(1)  # The other one is on its way when this one is given up.
        proxy.watch(TELL, is_held=True)
        other = asyncio.create_task(store.run(TELL, "n", "x", "", ""))
        with pytest.raises(EngineUnavailableError, match="does not answer"):
            await unanswered
        assert store.is_away
        assert store.alarm.is_set()
        proxy.passing.set()
        assert await other == 1
        assert not store.is_away
        assert store.meters.calls["unanswered",] == 1
        await store.close()


async def test_who_waits_in_vain_for_the_calls_of_others_does_not_take_redis_for_dead(
    one_redis: RedisServer, redis_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_CALLS", 1)
    async with proxy_to(one_redis) as proxy:
        store = await _registered(proxy.url, redis_prefix)
        proxy.watch(TELL, is_held=True)
        slow = asyncio.create_task(store.run(TELL, "n", "x", "", ""))
        await proxy.asked.wait()
        with pytest.raises(EngineUnavailableError, match="too many calls wait"):
            await store.run(TELL, "n", "x", "", "")
        assert not store.is_away
        assert not store.alarm.is_set()
        await store.probe(BEAT)  # The node lives.
        proxy.passing.set()
        assert await slow == 1
        assert await store.run(TELL, "n", "x", "", "") == 1
        assert (store.meters.calls["crowded",], store.meters.calls["unanswered",]) == (1, 0)
        await store.close()


async def test_who_waited_for_a_call_that_was_not_answered_is_told_so_at_once(
    one_redis: RedisServer, redis_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_CALLS", 1)
    monkeypatch.setattr(store_module, "_WAIT", 20.0)
    async with proxy_to(one_redis) as proxy:
        store = await _registered(proxy.url, redis_prefix, store_module.PATIENCE)
        proxy.watch(TELL)
        lost = asyncio.create_task(store.run(TELL, "n", "x", "", ""))
        await asyncio.sleep(store_module.PATIENCE - 0.1)
        waiting = asyncio.create_task(store.run(TELL, "n", "x", "", ""))
        for unanswered in (lost, waiting):
            with pytest.raises(EngineUnavailableError, match="does not answer"):
                await unanswered
        assert store.meters.calls["unanswered",] == 1
        await store.close()


async def test_a_slow_answer_does_not_spoil_what_is_known_of_the_clock(
    one_redis: RedisServer, redis_prefix: str
) -> None:
    async with proxy_to(one_redis) as proxy:
        store = store_on(proxy.url, redis_prefix)
        await store.measure()
        before = store._ahead
        proxy.watch_word("TIME")
        slow = asyncio.create_task(store.measure())
        await proxy.asked.wait()
        await asyncio.sleep(0.3)
        proxy.passing.set()
        await slow
        right = (time.time() - asyncio.get_running_loop().time()) * 1000
        assert before - 1 <= store._ahead <= right + 1, "milliseconds"
        await store.close()


async def test_a_redis_that_is_not_there_does_not_answer() -> None:
    store = store_on("redis://127.0.0.1:1/0", "t")
    with pytest.raises(EngineUnavailableError):
        await store.measure()
    await store.close()


async def test_a_node_that_redis_does_not_know_is_told_so(one_redis: RedisServer, redis_prefix: str) -> None:
    store = store_on(one_redis.url, redis_prefix, "nobody")
    await store.measure()
    with pytest.raises(LostError):
        await store.run(BEAT)
    await store.close()
