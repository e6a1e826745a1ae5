"""The engine as a whole: rooms that two nodes change at once, and who cannot be reached."""

import asyncio

import pytest

from signal_api.protocol.refusals import EngineUnavailableError
from signal_api.protocol.rooms import Room, Terms
from tests.redis_server import RedisServer
from tests.signal_api.engine.engines import running_engine
from tests.waiting import eventually


async def test_of_two_changes_at_once_one_is_made_and_seen_by_both(one_redis: RedisServer, redis_prefix: str) -> None:
    async with running_engine(one_redis.url, redis_prefix) as one, running_engine(one_redis.url, redis_prefix) as other:
        rooms = [Room("r", {}, rseq=number, terms=Terms(kept=True)) for number in range(3)]
        await one.commit("r", (await one.load("r")).version, rooms[0], ())
        seen = [await one.load("r"), await other.load("r")]
        assert seen[0] == seen[1]
        changes = (
            engine.commit("r", seen[0].version, room, ()) for engine, room in zip((one, other), rooms[1:], strict=True)
        )
        assert sorted(await asyncio.gather(*changes)) == [False, True]
        assert (await one.load("r")).room == (await other.load("r")).room
        assert await one.rooms("", 5) == await other.rooms("", 5)


async def test_troubles_are_told_and_end_with_their_cause(redis_server: RedisServer) -> None:
    async with running_engine(redis_server.url, "t") as engine:
        assert engine.troubles() == []
        redis_server.pause()
        try:
            async with asyncio.timeout(1):
                with pytest.raises(EngineUnavailableError):
                    await engine.load("r")
            assert engine.troubles() == ["the store of rooms does not answer"]
        finally:
            redis_server.go_on()
        async with asyncio.timeout(5):
            await eventually(lambda: engine.troubles() == [])
        assert (await engine.load("r")).room is None


async def test_an_engine_that_finds_no_redis_does_not_begin() -> None:
    with pytest.raises(EngineUnavailableError):
        async with running_engine("redis://127.0.0.1:1/0", "t"):
            pass
