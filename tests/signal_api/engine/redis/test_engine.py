"""The engine as a whole: rooms that two nodes change at once, and who cannot be reached."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fairlead.daemon import SystemClock
from fairlead.metrics import Metrics
from signal_api.engine.contract import Stored
from signal_api.engine.redis.engine import RedisEngine
from signal_api.engine.redis.parcels import hashed
from signal_api.engine.redis.store import PATIENCE, BarredError
from signal_api.protocol.effects import Effect, Revoked
from signal_api.protocol.refusals import EngineUnavailableError
from signal_api.protocol.revocations import Revocation, RevocationKind
from signal_api.protocol.rooms import Change, Room, Terms
from tests.certificates import self_signed
from tests.redis_server import RedisServer
from tests.signal_api.cluster import Cluster
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


async def test_a_long_list_of_rooms_leaves_the_store_to_others_as_well(
    one_redis: RedisServer, redis_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_engine(one_redis.url, redis_prefix) as engine:
        names = [f"r{number:02}" for number in range(50)]
        for name in names:
            await engine.commit(name, 0, Room(name, {}, terms=Terms(kept=True)), ())
        reading, most = 0, 0
        load = engine.load

        async def counted(name: str) -> Stored:
            nonlocal reading, most
            reading += 1
            most = max(most, reading)
            stored = await load(name)
            reading -= 1
            return stored

        monkeypatch.setattr(engine, "load", counted)
        assert [room.name for room in await engine.rooms("r00", 48)] == names[1:49]
        assert 1 < most <= 16


async def test_troubles_are_told_and_end_with_their_cause(redis_server: RedisServer) -> None:
    async with running_engine(redis_server.url, "t", PATIENCE) as engine:
        assert engine.troubles() == []
        redis_server.pause()
        try:
            async with asyncio.timeout(20):
                with pytest.raises(EngineUnavailableError):
                    await engine.load("r")
            assert engine.troubles()[0].startswith("the store does not answer")
            assert engine.troubles()[0].endswith(f", at 127.0.0.1:{redis_server.port}")
        finally:
            redis_server.go_on()
        await eventually(lambda: engine.troubles() == [])
        assert (await engine.load("r")).room is None


async def test_a_record_that_cannot_be_read_breaks_no_list_and_opens_no_room(
    one_redis: RedisServer, redis_prefix: str, cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    """As another version may have left it: of the room the password and the bans are lost, so nobody comes in."""
    old = await cluster.node()
    await eventually(lambda: not old.redis._vault._tasks)  # It has looked through what an earlier day had left.
    for name in ("bad", "good"):
        assert await old.redis.commit(name, 0, Room(name, {}, terms=Terms(kept=True)), ())
    one_redis.command("HSET", f"{redis_prefix}:r:{hashed('bad')}", "d", '{"name":"bad","members":{},"meta":NaN}')
    one_redis.command("HSET", f"{redis_prefix}:revoked", "token:j", "x")
    one_redis.command("RPUSH", f"{redis_prefix}:o:user", "x")
    node = await cluster.node()
    assert [room.name for room in await node.redis.rooms("", 10)] == ["bad", "good"]
    assert await node.redis.reports(["user"]) == [[]]
    seat = await node.enter()
    await seat.say("join", room="bad")
    assert seat.news()[-1]["data"]["code"] == "room_full"
    steward = node.dispatch.verbs.steward
    assert isinstance(await steward.close("bad"), Change)
    assert [room.name for room in await node.redis.rooms("", 10)] == ["good"]
    logged = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    said = [record["what"] for record in logged if record["event"] == "a record in Redis cannot be read"]
    assert said == ["revocation", "room bad", "report"]


@pytest.mark.parametrize("how", ["slow", "not there yet"])
async def test_an_engine_begins_before_its_redis(
    how: str, redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """As when both are started together: it is all there as soon as Redis is, what is revoked included."""
    caplog.set_level("INFO")
    revocation = Revocation(RevocationKind.TOKEN, "j", 1.0, 1e10)
    async with running_engine(redis_server.url, "t") as before:
        await before.revoke(revocation)
    redis_server.pause() if how == "slow" else redis_server.kill()
    engine, told = RedisEngine(redis_server.url, "t", SystemClock(), os.urandom, Metrics("signal")), list[Effect]()
    engine.subscribe(told.append)
    async with asyncio.timeout(20):
        await engine.start()
    try:
        (trouble,) = engine.troubles()
        assert "does not answer" in trouble
        async with asyncio.timeout(20):
            with pytest.raises(EngineUnavailableError):
                await engine.load("r")
    finally:
        redis_server.go_on() if how == "slow" else await asyncio.to_thread(redis_server.start)
    await eventually(lambda: engine.troubles() == [])
    assert await engine.commit("r", 0, Room("r", {}, terms=Terms(kept=True)), ())
    assert told == ([Revoked(revocation)] if how == "slow" else [])
    await engine.stop()
    said = [record.msg["event"] for record in caplog.records if isinstance(record.msg, dict)]
    assert said == ["without Redis nobody can join a room or open a session", "Redis answers"]


async def test_an_engine_that_never_met_its_redis_stops_in_peace(redis_server: RedisServer) -> None:
    redis_server.pause()
    try:
        engine = RedisEngine(redis_server.url, "t", SystemClock(), os.urandom, Metrics("signal"))
        beginning = asyncio.create_task(engine.start())
        await asyncio.sleep(0.05)
        beginning.cancel()
        await engine.stop()
    finally:
        redis_server.go_on()


async def test_an_engine_does_not_begin_where_waiting_does_not_help(redis_server: RedisServer, tmp_path: Path) -> None:
    """No password, a wrong one, a database that is not there, no Redis at all, and one that TLS does not trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed(tmp_path))
    async with no_redis() as web, no_redis(context) as stranger:
        redis_server.command("CONFIG", "SET", "requirepass", "right")
        places = [f"127.0.0.1:{redis_server.port}/0", f":wrong@127.0.0.1:{redis_server.port}/0"]
        places += [f":right@127.0.0.1:{redis_server.port}/99", web]
        for url in (*(f"redis://{place}" for place in places), f"rediss://{stranger}"):
            with pytest.raises(BarredError, match="the store refuses: "):
                async with running_engine(url, "t"):
                    pass
        async with running_engine(f"redis://{places[2].removesuffix('99')}0", "t") as engine:
            assert engine.troubles() == []


async def test_what_turns_out_to_be_wrong_later_is_said_where_readiness_is_asked(redis_server: RedisServer) -> None:
    redis_server.pause()
    async with running_engine(f"redis://:wrong@127.0.0.1:{redis_server.port}/0", "t", PATIENCE) as engine:
        assert "does not answer" in engine.troubles()[0]
        redis_server.go_on()
        await eventually(lambda: "the store refuses" in "".join(engine.troubles()))
        assert "wrong" not in engine.troubles()[0]


@asynccontextmanager
async def no_redis(tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Host and port of a server that speaks something else."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1024)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield "{}:{}".format(*server.sockets[0].getsockname())
