"""The Python client where others, the network and the server make trouble."""

import asyncio
import math
from collections.abc import AsyncIterator, Sequence

import pytest

from fairlead_client import Frame, Room, Session, SignalingError
from fairlead_client.frames import Json
from fairlead_client.transports import OPENERS, ClosedError, Line
from tests.sdk.clients import WAIT, drop, entered, forget, next_of
from tests.signal_api.service import Peer, Service
from tests.signal_api.worlds import JOIN_KEY, token
from tests.waiting import eventually

# What others send


async def guest(service: Service, name: str = "r") -> Peer:
    """A member without this client."""
    joined = await service.enter()
    await joined.hear("welcome")
    await joined.say("join", id="1", data={"room": name})
    await joined.hear("joined")
    return joined


async def test_what_changes_of_a_member_is_seen(service: Service) -> None:
    async with entered(service) as one:
        room, other = await one.join("r"), await guest(service)
        service.pass_time(0.05)
        await next_of(room, "member.joined")
        await other.say("meta.set", id="2", data={"room": "r", "meta": {"hand": "up"}})
        await other.hear("ok")
        service.pass_time(0.05)
        await next_of(room, "member.updated")
        assert [member.meta for member in room.members.values()] == [{"hand": "up"}]


@pytest.mark.parametrize("transport", ["websocket", "sse", "poll"])
async def test_a_number_of_any_length_is_read(service: Service, transport: str) -> None:
    """JSON has no limit, Python's int has one."""
    async with entered(service, transport) as one:
        room, other = await one.join("r"), await guest(service)
        digits = "1" * 4301
        await other.socket.send(f'{{"type":"message","id":"2","room":"r","to":"*","data":[{digits},12]}}')
        assert (await next_of(room, "message")).data == [math.inf, 12]


async def test_a_fault_ends_the_session_aloud(service: Service) -> None:
    async with entered(service) as one:
        room, other = await one.join("r"), await guest(service)

        def fail(_: Frame) -> None:
            raise RuntimeError("of the application")

        one.session.on_frame = fail
        await other.say("message", id="2", room="r", to="*", data="hello")
        await other.hear("ok")
        with pytest.raises(SignalingError, match="of the application"):
            await asyncio.wait_for(forever(room), WAIT)


async def forever(room: Room) -> None:
    while True:
        await room.send("still here?")


# The token, many frames, ways that bring nothing, sessions that are lost


async def test_a_renewed_token_is_the_one_that_is_resumed_with(service: Service) -> None:
    async with entered(service, token=token(service.clock, "alice", lifetime=60)) as one:
        room = await one.join("r")
        await one.session.renew(token(service.clock, "alice", lifetime=6000))
        service.clock.move(61)
        drop(service, one)
        async with asyncio.timeout(WAIT):
            await room.send("after it")
        assert room.closed is None


async def test_frames_beyond_those_under_way_follow(service: Service) -> None:
    async with entered(service) as one, entered(service) as other:
        here, there = await one.join("r"), await other.join("r")
        async with asyncio.timeout(WAIT):
            await asyncio.gather(*(here.send(number) for number in range(150)))
            heard = [(await next_of(there, "message")).data for _ in range(150)]
        assert heard == list(range(150))


async def test_what_was_too_fast_is_sent_again_when_the_server_says() -> None:
    async with Service(limits__frame_burst=5, limits__frames_per_second=50) as service:
        await service.start()
        async with entered(service) as one, entered(service) as other:
            here, there = await one.join("r"), await other.join("r")
            sending = [asyncio.create_task(here.send(number)) for number in range(12)]
            async with asyncio.timeout(WAIT):
                while not all(task.done() for task in sending):
                    service.pass_time(0.02)
                    await asyncio.sleep(0.02)
                heard = [(await next_of(there, "message")).data for _ in range(12)]
            assert sorted(heard) == list(range(12))


class Scripted:
    """A line on which comes what a test says."""

    def __init__(self) -> None:
        self.coming: asyncio.Queue[Json | ClosedError] = asyncio.Queue()
        self.sent: list[Json] = []

    async def receive(self) -> Json:
        frame = await self.coming.get()
        if isinstance(frame, ClosedError):
            raise frame
        return frame

    async def send(self, frames: Sequence[Json]) -> None:
        self.sent += frames

    async def close(self, leave: bool) -> None:
        pass


async def test_a_join_is_settled_by_the_room_that_is_shown_anew() -> None:
    """Its reply is gone with the log."""
    lines: list[Scripted] = []

    async def opener(base: str, hello: Json, once: str) -> Line:
        lines.append(Scripted())
        epoch = f"e{len(lines)}"
        lines[-1].coming.put_nowait({"type": "welcome", "seq": 1, "data": {"sid": "s", "key": "k", "epoch": epoch}})
        return lines[-1]

    async with asyncio.timeout(WAIT):
        async with Session("http://signal.example", JOIN_KEY, ["x"], {"x": opener}, lambda: 0.0) as session:
            joining = asyncio.create_task(session.request("join", room="r"))
            await eventually(lambda: len(lines[0].sent) == 1)
            lines[0].coming.put_nowait(ClosedError(1006, "the network is gone"))
            await eventually(lambda: len(lines) == 2 and len(lines[1].sent) == 1)
            for room in ("other", "r"):
                lines[1].coming.put_nowait({"type": "joined", "seq": 2 + (room == "r"), "room": room, "data": {}})
            assert (await joining).room == "r"


@pytest.mark.parametrize("transport", ["websocket", "sse", "poll"])
async def test_who_closes_gives_its_place_back(service: Service, transport: str) -> None:
    async with entered(service, transport) as client:
        await client.join("r")
        assert len(service.hub.roster) == 1
    await eventually(lambda: len(service.hub.roster) == 0)


async def test_a_room_that_nobody_reads_keeps_so_much(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead_client.room._WAITING", 3)
    async with entered(service) as one, entered(service) as other:
        here, there = await one.join("r"), await other.join("r")
        for number in range(9):
            await there.send(number)
        await there.send("last", here.id)
        await eventually(lambda: here.missed > 5)
        assert [(await next_of(here, "message")).data for _ in range(3)] == [7, 8, "last"]


class Silent:
    """A line on which nothing comes."""

    async def receive(self) -> Json:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, frames: Sequence[Json]) -> None:
        raise AssertionError

    async def close(self, leave: bool) -> None:
        pass


async def test_a_way_that_brings_nothing_is_given_up(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead_client.session._GREETING", 0.01)
    tried = []

    async def silent(base: str, hello: Json, once: str) -> Line:
        tried.append(base)
        return Silent()

    ways = {**OPENERS, "websocket": silent}
    session = Session(f"http://{service.authority}", JOIN_KEY, ["websocket", "poll"], ways, dice=lambda: 0.0)
    async with asyncio.timeout(WAIT), session:
        assert session.sid
    assert len(tried) == 1


async def test_a_stream_that_is_held_back_is_no_way(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead_client.transports._FIRST", 0.05)

    async def held_back(_: object) -> AsyncIterator[object]:
        await asyncio.Event().wait()
        yield None

    monkeypatch.setattr("fairlead_client.transports.events_of", held_back)
    session = Session(f"http://{service.authority}", JOIN_KEY, ["sse", "poll"], dice=lambda: 0.0)
    async with asyncio.timeout(WAIT), session:
        assert session.sid


async def test_a_join_under_way_when_the_session_is_lost_is_asked_for_once(service: Service) -> None:
    async with entered(service) as one:
        held, send = asyncio.Event(), one.session._send

        async def hold() -> None:
            if held.is_set():
                await send()

        one.session._send = hold  # type: ignore[method-assign]  # the network, for a moment
        joining = asyncio.create_task(one.join("r"))
        await asyncio.sleep(0)
        held.set()
        forget(service, one)
        async with asyncio.timeout(WAIT):
            room = await joining
            await room.send("in it")
        assert room.closed is None
        known = service.engine.room("r")
        assert known is not None
        assert list(known.members) == [room.id]


async def test_who_was_leaving_when_the_session_was_lost_has_left(service: Service) -> None:
    async with entered(service) as one:
        room, stays = await one.join("r"), await one.join("stays")
        forget(service, one)
        async with asyncio.timeout(WAIT):
            await room.leave()
            await stays.send("still here")
        assert list(one.rooms) == ["stays"]
