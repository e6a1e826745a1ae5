"""The Python client against the service itself, its clock in the test's hand."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from fairlead_client import Client, Frame, Session, SignalingError
from fairlead_client.backoff import is_final, pause
from fairlead_client.frames import Json
from fairlead_client.streams import events_of
from fairlead_client.transports import OPENERS, ClosedError, Line, PollLine, close_code
from signal_api.protocol.messages import server_frame
from signal_api.protocol.refusals import CloseCode
from tests.sdk.clients import WAIT, drop, entered, next_of
from tests.signal_api.service import Service
from tests.signal_api.worlds import JOIN_KEY


@pytest.mark.parametrize("transport", ["websocket", "sse", "poll"])
async def test_two_meet_and_talk(service: Service, transport: str) -> None:
    async with entered(service, transport) as one, entered(service) as other:
        here = await one.join("r", meta={"name": "one"})
        there = await other.join("r")
        assert [member.meta for member in there.members.values()] == [{"name": "one"}]
        assert there.order > here.order
        assert there.ice["iceServers"]
        service.pass_time(0.05)
        assert (await next_of(here, "member.joined")).data["members"][0]["id"] == there.id
        assert list(here.members) == [there.id]
        await here.send({"n": 1})
        heard = await next_of(there, "message")
        assert (heard.sender, heard.data) == (here.id, {"n": 1})
        await there.send("psst", here.id, "x.whisper")
        assert (await next_of(here, "x.whisper")).data == "psst"
        await other.close()
        await service.hub.settled()
        service.pass_time(0.05)
        await next_of(here, "member.left")
        assert not here.members


@pytest.mark.parametrize("transport", ["websocket", "sse", "poll"])
async def test_nothing_is_lost_or_doubled_when_the_connection_breaks(service: Service, transport: str) -> None:
    async with entered(service, transport) as one, entered(service) as other:
        here, there = await one.join("r"), await other.join("r")
        for number in range(30):
            if number % 10 == 5:
                drop(service, one)
            if number % 10 == 7:
                drop(service, other)
            async with asyncio.timeout(WAIT):
                await asyncio.gather(here.send(number), there.send(number))
        for room in (here, there):
            assert [(await next_of(room, "message")).data for _ in range(30)] == list(range(30))
        assert service.instruments.resumes["resumed",] >= 3


async def test_a_forgotten_session_joins_its_rooms_again(service: Service) -> None:
    async with entered(service) as one:
        room = await one.join("r", meta="still here")
        before = (room.id, one.session.sid)
        known = service.hub.roster.get(one.session.sid or "")
        assert known is not None
        await next_of(room, "joined")
        service.hub.end(known, code=CloseCode.ROTATE)
        await next_of(room, "joined")
        assert room.id != before[0]
        assert one.session.sid != before[1]
        await room.send("to nobody")


async def test_refusals_have_codes(service: Service) -> None:
    with pytest.raises(SignalingError) as caught:
        async with entered(service, token="wrong"):
            pass
    assert caught.value.code == "4001"
    with pytest.raises(SignalingError) as caught:
        async with entered(service, "poll", token="wrong"):
            pass
    assert caught.value.code == "4001"
    with pytest.raises(SignalingError) as caught:
        async with entered(service, "sse", token="wrong"):
            pass
    assert caught.value.code == "4001"
    async with entered(service) as client:
        room = await client.join("r")
        with pytest.raises(SignalingError) as caught:
            await room.send("hello", "m_nobody")
        assert caught.value.code == "peer_not_found"
        with pytest.raises(SignalingError) as caught:
            await client.join("r")
        assert caught.value.code == "already_joined"


async def test_frames_of_other_kinds_are_passed_on(service: Service) -> None:
    async with entered(service) as client:
        seen: asyncio.Queue[Frame] = asyncio.Queue()
        client.on_frame = seen.put_nowait
        found = service.hub.roster.get(client.session.sid or "")
        assert found is not None
        found.deliver(server_frame("from.the.future", b'{"a":1}'))
        async with asyncio.timeout(WAIT):
            frame = await seen.get()
        assert (frame.type, frame.data) == ("from.the.future", {"a": 1})


async def test_a_kicked_session_ends_its_rooms(service: Service) -> None:
    async with entered(service) as client:
        room = await client.join("r")
        found = service.hub.roster.get(client.session.sid or "")
        assert found is not None
        service.hub.end(found, code=CloseCode.KICKED)
        async with asyncio.timeout(WAIT):
            types = [frame.type async for frame in room]
        assert (types, room.closed) == (["joined"], "4006")
        with pytest.raises(SignalingError):
            await room.send("still here?")


async def test_where_websockets_are_stopped_it_goes_by_polls(service: Service) -> None:
    tried = []

    async def stopped(base: str, hello: Json, once: str) -> Line:
        tried.append(hello)
        raise ClosedError(1006, "a proxy that knows no WebSocket")

    openers = {**OPENERS, "websocket": stopped}
    session = Session(f"ws://{service.authority}/", JOIN_KEY, openers=openers, dice=lambda: 0.0)
    async with asyncio.timeout(WAIT), session:
        assert session.sid is not None
        assert len(tried) == 1


async def test_where_websockets_are_refused_a_stream_serves(service: Service) -> None:
    """As behind a proxy that knows none."""

    async def refused(base: str, hello: Json, once: str) -> Line:
        raise ClosedError(1006, "HTTP 400")

    session = Session(
        f"http://{service.authority}", JOIN_KEY, openers=OPENERS | {"websocket": refused}, dice=lambda: 0.0
    )
    client = Client(session)
    async with asyncio.timeout(WAIT), session:
        room = await client.join("r")
        found = service.hub.roster.get(session.sid or "")
        assert found is not None
        assert found.connection is not None
        assert found.connection.transport == "sse"
        found.deliver(server_frame("x.line", '"a\u2028b"'.encode(), room="r"))
        assert (await next_of(room, "x.line")).data == "a\u2028b", "no line ends there"
        await room.leave()


@pytest.mark.parametrize("transport", ["poll", "sse"])
async def test_a_session_is_opened_once_though_the_answer_was_lost(service: Service, transport: str) -> None:
    names, opener = [], OPENERS[transport]

    async def losing(base: str, hello: Json, once: str) -> Line:
        names.append(once)
        line = await opener(base, hello, once)
        if len(names) in (1, 2, 4):
            await line.close(leave=False)
            raise ClosedError(1006, "the answer was lost")
        return line

    session = Session(
        f"http://{service.authority}", JOIN_KEY, [transport], openers={transport: losing}, dice=lambda: 0.0
    )
    async with asyncio.timeout(WAIT), session:
        assert len(service.hub.roster) == 1
        first = session.sid
        await session.request("ping")
        while len(names) < 5:
            found = service.hub.roster.get(first or "")
            if found is not None and found.connection is not None and len(names) == 3:
                found.connection.close(CloseCode.ROTATE)
            await asyncio.sleep(0.05)
        await session.request("ping")
        assert (session.sid, len(service.hub.roster)) == (first, 1)
    assert names[0] == names[1] == names[2] != names[3] == names[4]


async def test_a_member_tells_how_a_connection_went(service: Service) -> None:
    async with entered(service) as client:
        room = await client.join("r")
        await room.report("connected", "m_other", path="relay", protocol="tls", connect_ms=420.4)
        await room.report("failed")
        assert service.instruments.reports["connected", "relay"] == 1
        assert service.instruments.reports["failed", "none"] == 1
        with pytest.raises(SignalingError):
            await room.report("wonderful")


@pytest.mark.parametrize("cut", [1, 3, 1000])
async def test_a_stream_is_read_however_it_is_cut(cut: int) -> None:
    text = b': hb\n\nid: e.1\ndata: {"a":\ndata: 1}\n\nretry: 9\n\ndata: "\xc3\xa9"\r\n\r\nid: e.2\n\ndata: unfinished'

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(text), cut):
            yield text[start : start + cut]

    events = [event async for event in events_of(parts())]
    assert events == [("e.1", '{"a":\n1}'), ("", '"é"')]


async def test_a_post_that_fails_ends_the_connection() -> None:
    """The polls beside it would go on, and what was to be sent would wait for ever."""

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(502)
        await asyncio.Event().wait()
        raise AssertionError("a poll that never ends has ended")

    http = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://signal.example")
    line = PollLine(http, {"sid": "s", "key": "k", "epoch": "e", "resumed": False}, "e.1")
    assert (await line.receive())["type"] == "welcome"
    async with asyncio.timeout(WAIT):
        reading = asyncio.create_task(line.receive())
        with pytest.raises(ClosedError):
            await line.send([{"type": "message", "id": "c1"}])
        with pytest.raises(ClosedError):
            await reading
        await line.close(leave=False)


async def test_a_source_of_tokens_is_asked_each_time(service: Service) -> None:
    tokens = iter([None, JOIN_KEY, JOIN_KEY])

    async def fresh() -> str:
        token = next(tokens)
        if token is None:
            raise RuntimeError("the identity provider is away")
        return token

    session = Session(f"http://{service.authority}", fresh, dice=lambda: 0.0)
    async with asyncio.timeout(WAIT), session:
        assert next(tokens) == JOIN_KEY


def test_the_pause_grows_and_minds_what_the_server_says() -> None:
    assert [pause(attempts, 1006, None, lambda: 1.0) for attempts in (0, 1, 2, 9)] == [0.5, 1, 2, 20]
    assert pause(3, 4104, None, lambda: 0.0) == 1
    assert pause(9, 4200, 0.7, lambda: 1.0) == 0.7
    assert [is_final(code) for code in (1000, 4006, 4099, 1006, 4100, 4200)] == [True, True, True, False, False, False]


def test_what_a_websocket_would_have_been_closed_with() -> None:
    assert close_code(401, "token_expired") == 4106
    codes = [close_code(status) for status in (401, 403, 409, 410, 429, 503, 413, 418)]
    assert codes == [4001, 4005, 4010, 4103, 4103, 4103, 4013, 1006]
