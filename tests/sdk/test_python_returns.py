"""The Python client's rooms where tokens end and sessions are lost."""

import asyncio
import math

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request
from websockets.typing import Subprotocol

from fairlead_client import Client, Session, SignalingError
from fairlead_client.frames import Json
from fairlead_client.transports import ClosedError, Line, open_websocket
from tests.sdk.clients import WAIT, drop, entered, next_of
from tests.sdk.test_python_troubles import Scripted
from tests.signal_api.service import Service
from tests.signal_api.worlds import JOIN_KEY, token
from tests.waiting import eventually


async def test_a_token_for_a_room_is_renewed_there(service: Service) -> None:
    async with entered(service, token=token(service.clock, "alice", lifetime=6000, rooms=["mine"])) as one:
        room = await one.join("r", token=token(service.clock, "alice", lifetime=60, rooms=["r"]))
        await room.renew(token(service.clock, "alice", lifetime=6000, rooms=["r"]))
        service.pass_time(61)
        async with asyncio.timeout(WAIT):
            await room.send("still here")
            drop(service, one)
            await room.send("after it")
        assert room.closed is None


async def test_what_is_said_of_a_room_is_known(service: Service) -> None:
    host = token(service.clock, "host", can=["join", "create", "moderate"])
    async with entered(service, token=host) as one, entered(service) as other:
        here, there = await one.join("r"), await other.join("r")
        async with asyncio.timeout(WAIT):
            await one.session.request("meta.set", room="r", data={"room_meta": {"topic": "tea"}})
            for room in (here, there):
                assert (await next_of(room, "room.updated")).data["meta"] == room.meta == {"topic": "tea"}


@pytest.mark.parametrize("last", ["joined", "banned", "left"])
async def test_a_room_that_cannot_be_joined_again_just_now_is_joined_when_it_can(last: str) -> None:
    lines: list[Scripted] = []

    async def opener(base: str, hello: Json, once: str) -> Line:
        lines.append(Scripted())
        sid = f"s{len(lines)}"
        lines[-1].coming.put_nowait({"type": "welcome", "seq": 1, "data": {"sid": sid, "key": "k", "epoch": sid}})
        return lines[-1]

    def answer(number: int, code: str = "") -> None:
        line = lines[-1]
        joined = {"room": "r", "self": {"id": f"m{len(lines)}", "order": 1}, "members": [], "rseq": 1}
        wrong = {"code": code, "message": "", "retry_after_ms": 1}
        body = {"type": "error", "data": wrong} if code else {"type": "joined", "seq": 2, "room": "r", "data": joined}
        line.coming.put_nowait(body | {"re": line.sent[number]["id"]})

    async with asyncio.timeout(WAIT):
        session = Session("http://signal.example", JOIN_KEY, ["x"], {"x": opener}, lambda: 0.0)
        client = Client(session)
        await session.open()
        joining = asyncio.create_task(client.join("r"))
        await eventually(lambda: len(lines[0].sent) == 1)
        answer(0)
        room = await joining
        lines[0].coming.put_nowait(ClosedError(1006, "the network is gone"))
        await eventually(lambda: len(lines) == 2)
        for number in range(3):
            await eventually(lambda: len(lines[1].sent) == number + 1)  # noqa: B023 - it is asked now
            answer(number, "engine_unavailable")
            assert not room.is_in
        await eventually(lambda: len(lines[1].sent) == 4)
        if last == "left":
            leaving = asyncio.create_task(room.leave())
            await eventually(lambda: len(lines[1].sent) == 5)
            answer(3, "engine_unavailable")
            answer(4, "room_not_found")
            await leaving
        else:
            answer(3, "" if last == "joined" else last)
        await eventually(lambda: room.is_in or room.closed is not None)
        assert (room.id, room.closed) == ("m2" if last == "joined" else "m1", None if last == "joined" else last)
        await session.close()


@pytest.mark.parametrize("server", ["signal.example.org", "localhost:8080", "", "ftp://signal.example.org", "https://"])
def test_what_is_no_address_is_not_dialled_for_ever(server: str) -> None:
    with pytest.raises(ValueError, match="write https://HOST"):
        Session(server)


@pytest.mark.parametrize("transport", ["websocket", "sse", "poll"])
async def test_much_at_once_ends_no_session_and_too_much_is_refused(service: Service, transport: str) -> None:
    async with entered(service, transport) as one, entered(service) as other:
        here, there = await one.join("r"), await other.join("r")
        async with asyncio.timeout(WAIT):
            with pytest.raises(SignalingError, match="frame_too_large"):
                await here.send("x" * 65536)
            for no_json in (object(), math.nan):
                with pytest.raises((TypeError, ValueError)):
                    await here.send(no_json)
            one.session._hold(0.05)  # As after a refusal for being too fast: then they leave together.
            await asyncio.gather(*(here.send(f"{number}" + "é" * 4000) for number in range(24)))
            heard = [(await next_of(there, "message")).data for _ in range(24)]
        assert [text.rstrip("é") for text in heard] == [f"{number}" for number in range(24)]
        assert here.closed is None


async def test_what_is_too_large_takes_no_place_of_what_is_not(service: Service) -> None:
    async with entered(service) as one:
        room = await one.join("r")
        one.session._hold(0.05)
        too_large = [asyncio.create_task(room.send("x" * 65536)) for _ in range(64)]
        await asyncio.sleep(0)
        async with asyncio.timeout(WAIT):
            await room.send("small")
            refusals = await asyncio.gather(*too_large, return_exceptions=True)
        assert {getattr(each, "code", None) for each in refusals} == {"frame_too_large"}


async def test_a_server_may_stand_below_a_path() -> None:
    """A page comes from a host, and so does a program; a proxy may have given it a part of one."""
    asked: list[tuple[str, str]] = []

    def note(_: ServerConnection, request: Request) -> None:
        asked.append((request.path, request.headers["Origin"]))

    async def hear(socket: ServerConnection) -> None:
        await socket.recv()

    async with serve(hear, "127.0.0.1", 0, process_request=note, subprotocols=[Subprotocol("sig.v1")]) as server:
        place = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        line = await open_websocket(f"{place}/signaling", {"v": 1}, "once")
        await line.close(leave=False)
    assert asked == [("/signaling/v1/ws", place)]
