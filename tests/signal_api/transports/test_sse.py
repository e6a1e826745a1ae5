"""Event streams on real sockets: their form, resume, replacement, rotation and slow readers."""

import asyncio

import pytest

from signal_api.protocol.refusals import CloseCode
from tests.signal_api.service import Service
from tests.signal_api.transports.web import Web, web
from tests.waiting import eventually


async def test_the_form_of_a_stream(session: Web) -> None:
    async with session.stream() as stream:
        assert stream.response.status_code == 200
        headers = stream.response.headers
        assert headers["content-type"] == "text/event-stream; charset=utf-8"
        assert headers["cache-control"] == "no-store, no-transform"
        assert headers["x-accel-buffering"] == "no"
        assert [await stream.line() for _ in range(3)] == ["retry: 2000", "", f"id: {session.at(1)}"]
        welcome = await stream.event()
        assert (welcome.frame["type"], welcome.frame["seq"]) == ("welcome", 1)
        joined = await stream.event()
        assert (joined.id, joined.frame["type"]) == (session.at(2), "joined")


async def test_comments_keep_it_open_and_pings_can_be_seen(service: Service, session: Web) -> None:
    async with session.stream(after=session.at(2)) as stream:
        greeting = await stream.event()
        assert greeting.id is None
        assert greeting.frame["data"]["resumed"]
        service.pass_time(15)
        service.pass_time(10)
        ping = await stream.hear("ping")
        assert ping == (None, {"type": "ping"})
        assert stream.comments == ["hb"]


async def test_silence_after_a_ping_ends_a_stream_and_a_post_keeps_it(service: Service, session: Web) -> None:
    async with session.stream() as stream:
        await stream.hear("joined")
        service.pass_time(25)
        await session.post({"type": "pong"})
        service.pass_time(10)
        service.pass_time(15)
        service.pass_time(10)
        close = await stream.hear("close")
        assert close.frame["data"] == {"code": CloseCode.PING_TIMEOUT, "reason": "ping_timeout"}
        with pytest.raises(StopAsyncIteration):
            await stream.event()


async def test_the_header_wins_over_the_query(session: Web) -> None:
    async with session.stream(last=session.at(1), after="aaaaaaaa.9") as stream:
        assert (await stream.event()).frame["data"]["resumed"]
        assert (await stream.event()).id == session.at(2)


async def test_a_stream_that_cannot_go_on_begins_anew(session: Web) -> None:
    async with session.stream(last="aaaaaaaa.9") as stream:
        welcome, joined = await stream.event(), await stream.event()
        data = welcome.frame["data"]
        assert (data["resumed"], data["reason"]) == (False, "epoch")
        assert welcome.id == f"{data['epoch']}.1"
        assert joined.frame["type"] == "joined"


async def test_a_position_acknowledges(service: Service, session: Web) -> None:
    async with session.stream(last=session.at(2)) as stream:
        await stream.event()
    async with session.stream(last=session.at(1)) as stream:
        assert (await stream.event()).frame["data"]["reason"] == "gap"


async def test_the_newest_connection_wins_and_the_old_stream_stays_away(service: Service, session: Web) -> None:
    async with session.stream() as old:
        await old.hear("joined")
        peer = await service.enter(
            resume={"sid": session.welcome["sid"], "key": session.welcome["key"], "after": session.at(2)}
        )
        assert (await peer.hear("welcome"))["data"]["resumed"]
        assert (await old.hear("close")).frame["data"]["code"] == CloseCode.REPLACED
    async with session.stream(last=session.at(2)) as again:
        assert again.response.status_code == 204, "its browser tries once more by itself"
    async with session.stream(last=session.at(2)) as meant:
        assert meant.response.status_code == 200
        assert await peer.end() == CloseCode.REPLACED


async def test_who_has_lost_its_connection_is_never_told_to_stay_away(service: Service, session: Web) -> None:
    async with session.stream() as old:
        await old.hear("joined")
        async with session.stream(last=session.at(2)) as new:
            await new.event()
            assert (await old.hear("close")).frame["data"]["code"] == CloseCode.REPLACED
    await _until_away(service, session)
    async with session.stream(last=session.at(2)) as back:
        assert back.response.status_code == 200


async def test_streams_rotate(service: Service, session: Web) -> None:
    async with session.stream() as stream:
        await stream.hear("joined")
        for _ in range(27):
            service.pass_time(20)
            await session.post({"type": "pong"})
        assert service.instruments.closes["4202",] == 0, "540 s are within every lifetime"
        for _ in range(6):
            service.pass_time(20)
            await session.post({"type": "pong"})
        assert (await stream.hear("close")).frame["data"]["code"] == CloseCode.ROTATE
    assert service.instruments.connections["sse",] == 1


async def test_a_reader_that_is_too_slow_is_closed_and_may_resume(service: Service, session: Web) -> None:
    async with web(service, rooms=["r"]) as writer, session.stream() as slow:
        await slow.hear("joined")
        text = "x" * 60000
        while not service.instruments.closes["4104",]:
            posted = await writer.post({"type": "message", "room": "r", "to": "*", "data": text})
            assert posted.json()["results"] == [{"ok": True}]
            service.pass_time(0.1)
        await slow.hear("close")


async def test_a_drain_is_announced(service: Service, session: Web) -> None:
    async with session.stream() as stream:
        await stream.hear("joined")
        async with asyncio.timeout(20):
            await asyncio.gather(service.hub.drain(1), stream.hear("drain"), return_exceptions=False)
        assert (await stream.hear("close")).frame["data"]["code"] == CloseCode.DRAIN
    refused = await session.http.get(f"{session.path}/events", headers=session.key)
    assert (refused.status_code, refused.json()["code"]) == (503, "draining")


async def _until_away(service: Service, session: Web) -> None:
    client = service.hub.roster.get(session.welcome["sid"])
    assert client is not None
    await eventually(lambda: client.connection is None)
