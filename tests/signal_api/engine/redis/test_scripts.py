"""What runs inside Redis."""

import os

import pytest

from signal_api.engine.contract import Once
from signal_api.engine.redis.scripts import BEAT, PUBLISH, digest_of
from signal_api.protocol.effects import Deliver
from signal_api.protocol.messages import server_frame
from signal_api.protocol.refusals import EngineUnavailableError
from tests.redis_server import RedisServer
from tests.signal_api.engine.engines import client_of, running_engine
from tests.waiting import eventually


async def test_a_frame_that_comes_again_has_no_effect_again(one_redis: RedisServer, redis_prefix: str) -> None:
    arrived: list[object] = []
    async with running_engine(one_redis.url, redis_prefix) as engine:
        engine.subscribe(arrived.append)
        await engine.vault.open(client_of("a"))
        frames = [Deliver(("a",), server_frame(f"x.{number}")) for number in range(3)]
        await engine.publish(frames[:1], Once("b", "c1"))
        await engine.publish(frames[1:2], Once("b", "c1"))
        await engine.publish(frames[2:], Once("other", "c1"))
        await eventually(lambda: frames[2] in arrived)
        assert arrived == [frames[0], frames[2]]


async def test_what_comes_too_late_has_no_effect(one_redis: RedisServer, redis_prefix: str) -> None:
    async with running_engine(one_redis.url, redis_prefix) as engine:
        engine._store._ahead -= 60_000
        with pytest.raises(EngineUnavailableError, match="too late"):
            await engine.publish((), Once("a", "c1"))
        assert one_redis.command("EXISTS", f"{redis_prefix}:i:a") == b":0\r\n"


def test_scripts_are_named_by_what_they_say() -> None:
    assert digest_of(PUBLISH) != digest_of(BEAT)
    assert len(digest_of(os.linesep)) == 40
