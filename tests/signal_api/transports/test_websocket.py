"""sig.v1 on real sockets: the upgrade, the first frame, the close codes, and the reader that is too slow."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from signal_api.protocol.refusals import CloseCode
from signal_api.protocol.sessions import LOG_FRAMES
from signal_api.transports.websocket import WebSocketTransport
from tests.signal_api.service import Peer, PlainService, Service
from tests.signal_api.socketless import Node
from tests.signal_api.worlds import JOIN_KEY, token
from tests.waiting import eventually


@pytest.fixture(params=[Service, PlainService])
def kind(request: pytest.FixtureRequest) -> type[Service]:
    """The connection goes on a wire, or stays with the server."""
    chosen: type[Service] = request.param
    return chosen


@pytest.fixture
async def service(kind: type[Service]) -> AsyncIterator[Service]:
    async with kind() as running:
        yield running


@pytest.fixture
async def door() -> AsyncIterator[Service]:
    """For those who do not come in: the way from there makes no difference."""
    async with Service() as running:
        yield running


async def test_two_members_meet(service: Service) -> None:
    first, second = await service.enter(), await service.enter()
    assert first.socket.subprotocol == "sig.v1"
    assert (await first.hear("welcome"))["seq"] == 1
    await first.say("join", id="j", data={"room": "r"})
    joined = await first.hear("joined")
    assert (joined["re"], joined["seq"]) == ("j", 2)
    await second.say("join", room="r")
    others = (await second.hear("joined"))["data"]["members"]
    assert [member["id"] for member in others] == [joined["data"]["self"]["id"]]
    await second.say("offer", room="r", to=others[0]["id"], data={"type": "offer", "sdp": "v=0\r\n"})
    offer = await first.hear("offer")
    assert offer["data"] == {"type": "offer", "sdp": "v=0\r\n"}
    await first.say("answer", id="a", room="r", to=offer["from"], data={"type": "answer"})
    assert (await first.hear("ok"))["re"] == "a"
    assert (await second.hear("answer"))["from"] == joined["data"]["self"]["id"]


async def test_silence_instead_of_hello(service: Service) -> None:
    peer = await service.dial()
    service.pass_time(9.9)
    await peer.socket.ping()
    service.pass_time(0.1)
    assert await peer.end() == CloseCode.HELLO_TIMEOUT


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ('{"type":"join","data":{"room":"r"}}', CloseCode.BAD_REQUEST),
        ("garbage", CloseCode.BAD_REQUEST),
        (b"\x00\x01", CloseCode.BAD_REQUEST),
        ('{"type":"hello","data":{"v":2}}', CloseCode.UNSUPPORTED_VERSION),
        ('{"type":"hello","data":{"v":1}}', CloseCode.UNAUTHORIZED),
        ('{"type":"hello","data":{"v":1,"token":"wrong"}}', CloseCode.UNAUTHORIZED),
        ('{"type":"hello","data":{"v":1,"token":"' + "x" * 66000 + '"}}', CloseCode.FRAME_TOO_LARGE),
        ('{"type":"hello","data":{"v":1,"token":"' + "x" * 140000 + '"}}', 1009),
    ],
)
async def test_a_wrong_beginning(service: Service, frame: str | bytes, code: int) -> None:
    peer = await service.dial()
    await peer.socket.send(frame)
    assert await peer.end() == code


async def test_an_expired_token(service: Service) -> None:
    peer = await service.enter(token=token(service.clock, lifetime=-1))
    assert await peer.end() == CloseCode.TOKEN_EXPIRED


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (b"{}", CloseCode.BAD_REQUEST),
        ("{", CloseCode.BAD_REQUEST),
        ('{"type":"x.a","data":' + "[" * 32 + "]" * 32 + "}", CloseCode.BAD_REQUEST),
        ('{"type":"x.a","data":"' + "x" * 65536 + '"}', CloseCode.FRAME_TOO_LARGE),
    ],
)
async def test_a_frame_that_is_none(service: Service, frame: str | bytes, code: int) -> None:
    peer = await service.enter()
    await peer.hear("welcome")
    await peer.socket.send(frame)
    assert await peer.end() == code
    assert service.instruments.closes[str(int(code)),] == 1


async def test_the_reason_of_a_close_is_for_people(service: Service) -> None:
    peer = await service.enter(token="wrong")
    await peer.end()
    assert peer.socket.close_reason == "the token is not accepted"


async def _status(service: Service, path: str = "/v1/ws", **options: Any) -> tuple[int, dict[str, Any], httpx.Headers]:
    with pytest.raises(InvalidStatus) as caught:
        await service.dial(path, **options)
    response = caught.value.response
    return response.status_code, json.loads(response.body), httpx.Headers(dict(response.headers))


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        None,
        "http://{authority}.evil.example",
        "http://127.0.0.1:1",
        "http://127.0.0.1",
        "https://{authority}",
        "http://localhost:{port}",
        "http://{authority}, http://evil.example",
    ],
)
async def test_pages_of_others_are_refused_before_the_upgrade(door: Service, origin: str | None) -> None:
    host, _, port = door.authority.partition(":")
    filled = None if origin is None else Origin(origin.format(authority=door.authority, host=host, port=port))
    status, problem, headers = await _status(door, origin=filled)
    assert (status, problem["code"]) == (403, "origin_not_allowed")
    assert headers["content-type"] == "application/problem+json"
    assert door.instruments.origins_refused["origin",] == 1


async def test_pages_on_the_list_are_welcome() -> None:
    async with Service(origins=["https://app.example"]) as service:
        peer = await service.dial(origin=Origin("https://app.example"))
        await peer.socket.close()
        status, _, _ = await _status(service, origin=Origin("https://app.example:444"))
        assert status == 403


async def test_a_name_that_was_rebound_is_not_ours(door: Service) -> None:
    origin = Origin("http://rebound.example")
    status, problem, _ = await _status(door, named="rebound.example", origin=origin)
    assert (status, problem["code"]) == (421, "host_not_allowed")


async def test_there_is_no_other_websocket(door: Service) -> None:
    status, problem, _ = await _status(door, "/v2/ws")
    assert (status, problem["code"]) == (404, "not_found")


async def test_too_many_connections_of_one_source() -> None:
    async with Service(limits__sessions_per_source=2) as service:
        for _ in range(2):
            await service.dial()
        status, problem, headers = await _status(service)
        assert (status, problem["code"], problem["retryable"]) == (429, "rate_limited", True)
        assert headers["retry-after"] == "1"
        service.pass_time(1)
        await service.dial()


async def test_a_draining_server_takes_nobody(service: Service) -> None:
    peer = await service.enter()
    await peer.hear("welcome")
    drain = asyncio.create_task(service.hub.drain(0.01))
    assert "retry_ms" in (await peer.hear("drain"))["data"]
    assert await peer.end() == CloseCode.DRAIN
    await asyncio.wait_for(drain, 60)
    status, problem, _ = await _status(service)
    assert (status, problem["code"]) == (503, "draining")


async def test_a_dead_client_is_noticed(service: Service) -> None:
    peer = await service.enter()
    await peer.hear("welcome")
    service.pass_time(25)
    await peer.hear("ping")
    service.pass_time(10)
    assert await peer.end() == CloseCode.PING_TIMEOUT


async def test_a_session_goes_on_over_a_new_connection(service: Service) -> None:
    stays, drops = await service.enter(rooms=["r"]), await service.enter(rooms=["r"])
    welcome = (await drops.hear("welcome"))["data"]
    await drops.hear("joined")
    drops.socket.transport.abort()
    service.pass_time(1)
    await stays.hear("member.joined")
    await stays.say("message", id="m", room="r", to="*", data="while away")
    await stays.hear("ok")
    resume = {"sid": welcome["sid"], "key": welcome["key"], "after": f"{welcome['epoch']}.2"}
    back = await service.enter(resume=resume, token=None)
    assert (await back.hear("welcome"))["data"]["resumed"]
    missed = await back.hear("message")
    assert (missed["seq"], missed["data"]) == (3, "while away")


async def test_a_whole_log_that_was_missed_is_no_slow_reading(kind: type[Service]) -> None:
    async with kind(limits__frame_burst=1000) as service:
        stays, drops = await service.enter(rooms=["r"]), await service.enter(rooms=["r"])
        welcome = (await drops.hear("welcome"))["data"]
        await drops.hear("joined")
        drops.socket.transport.abort()
        for number in range(LOG_FRAMES):
            await stays.say("message", id=f"m{number}", room="r", to="*", data={"number": number})
        while (await stays.hear("ok"))["re"] != f"m{LOG_FRAMES - 1}":
            pass
        resume = {"sid": welcome["sid"], "key": welcome["key"], "after": f"{welcome['epoch']}.2"}
        back = await service.enter(resume=resume, token=None)
        assert (await back.hear("welcome"))["data"]["resumed"]
        await stays.say("message", room="r", to="*", data={"number": LOG_FRAMES})
        numbers = [(await back.hear("message"))["data"]["number"] for _ in range(LOG_FRAMES + 1)]
        assert numbers == list(range(LOG_FRAMES + 1))


async def test_the_older_connection_is_told_that_it_was_replaced(service: Service) -> None:
    old = await service.enter()
    welcome = (await old.hear("welcome"))["data"]
    await service.enter(resume={"sid": welcome["sid"], "key": welcome["key"], "after": 1})
    assert await old.end() == CloseCode.REPLACED


#: Enough of these fill every buffer between a server and a client that does not read.
BIG = "x" * 30000


async def _stalled(service: Service) -> Peer:
    """A member of room r that reads nothing more than its own arrival."""
    peer = await service.dial(max_queue=1)
    await peer.say("hello", data={"v": 1, "token": JOIN_KEY, "rooms": ["r"]})
    await peer.hear("joined")
    return peer


async def test_a_reader_that_is_too_slow_is_closed_and_the_others_go_on(kind: type[Service]) -> None:
    async with kind(limits__frame_burst=1000) as service:
        writer, reader = await service.enter(rooms=["r"]), await service.enter(rooms=["r"])
        await reader.hear("joined")
        slow = await _stalled(service)
        numbers: list[int] = []
        while not service.instruments.closes["4104",]:
            await writer.say("message", room="r", to="*", data={"number": len(numbers), "pad": BIG})
            numbers.append((await reader.hear("message"))["data"]["number"])
        assert numbers == list(range(len(numbers)))
        assert await slow.end() == CloseCode.SLOW_CONSUMER
        await writer.say("message", room="r", to="*", data="still here")
        assert (await reader.hear("message"))["data"] == "still here"


async def test_who_never_reads_again_is_given_up(kind: type[Service]) -> None:
    async with kind(limits__frame_burst=1000) as service:
        writer = await service.enter(rooms=["r"])
        await writer.hear("joined")
        await _stalled(service)
        while not service.instruments.closes["4104",]:
            await writer.say("message", id=None, room="r", to="*", data=BIG)
            await writer.say("ping")
            await writer.hear("pong")
        assert service.hub.roster.connected() == 2
        service.pass_time(10)
        await writer.say("ping")
        await writer.hear("pong")
        assert service.hub.roster.connected() == 1


@pytest.mark.logs_error("a connection failed")
async def test_a_bug_ends_one_connection_and_no_other(service: Service) -> None:
    good, bad = await service.enter(), await service.enter()
    await bad.hear("welcome")
    del service.instruments.frames["x",]  # A counter that was never declared is a bug of ours.
    await bad.say("x.anything")
    assert await bad.end() == CloseCode.INTERNAL_ERROR
    await good.say("ping")
    await good.hear("pong")


async def test_a_server_that_is_told_much_gathers_what_it_has_to_say() -> None:
    """As fast as this test can tell it, for longer than it takes to see how fast that is."""
    node = Node()
    transport = WebSocketTransport(node.hub, node.dispatch)
    framing, end = transport.framing, time.monotonic() + 5
    while not framing.gathers and time.monotonic() < end:
        framing.heard()
    assert framing.gathers
    await eventually(lambda: not framing.gathers)
