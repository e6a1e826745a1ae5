"""The doorstep, on real sockets and with the clock in hand: who dawdles goes, and a source has its number."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from signal_api.turnstile import A_TURN, MOST_BYTES, Turnstile
from signal_api.web.doorstep import Doorstep
from tests.signal_api.service import Service
from tests.signal_api.worlds import JOIN_KEY
from tests.waiting import eventually

HEAD = "GET /v1/info HTTP/1.1\r\nHost: {0}\r\n"


class Caller:
    """A connection that says what it likes."""

    def __init__(self, service: Service, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._service = service
        self._reader = reader
        self._writer = writer

    def say(self, text: str) -> None:
        self._writer.write(text.format(self._service.authority).encode())

    async def reply(self) -> tuple[int, str]:
        """Status and body of the next reply."""
        async with asyncio.timeout(20):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
            return int(head.split()[1]), (await self._reader.readexactly(length)).decode()

    async def head(self) -> int:
        """The status of a reply that is nothing but its head."""
        async with asyncio.timeout(20):
            return int((await self._reader.readuntil(b"\r\n\r\n")).split()[1])

    async def is_over(self) -> bool:
        """Waits for the end, which is rude where something of ours was still on its way; tells that there was nothing
        more."""
        try:
            async with asyncio.timeout(20):
                return await self._reader.read() == b""
        except ConnectionResetError:
            return True

    def hang_up(self) -> None:
        self._writer.transport.abort()


async def _until(service: Service, head: int = 0, body: int = 0) -> None:
    """Waits until what was said has arrived: so many connections owe us the rest of a head, so many that of a body."""
    await eventually(lambda: service.doorstep.unfinished() == {("head",): head, ("body",): body})


def _turned_away(service: Service) -> dict[str, int]:
    return {reason: count for (reason,), count in service.instruments.turned_away.items() if count}


Call = Callable[[Service], Awaitable[Caller]]


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    """Opens connections that end with the test."""
    callers: list[Caller] = []

    async def dial(service: Service) -> Caller:
        await service.start()
        host, _, port = service.authority.partition(":")
        callers.append(Caller(service, *await asyncio.open_connection(host, int(port))))
        return callers[-1]

    yield dial
    for caller in callers:
        caller.hang_up()
    await asyncio.sleep(0)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service() as running:
        yield running


@pytest.mark.parametrize("said", ["", "GET /v1/in", "GET /v1/info HTTP/1.1\r\n", HEAD + "X: "])
async def test_a_head_that_does_not_end_has_its_time(call: Call, service: Service, said: str) -> None:
    caller = await call(service)
    caller.say(said)
    await _until(service, head=1)
    service.pass_time(9.9)
    await _until(service, head=1)
    service.pass_time(0.2)
    status, body = await caller.reply()
    assert (status, '"code":"request_timeout"' in body) == (408, True)
    assert await caller.is_over()
    assert _turned_away(service) == {"head_timeout": 1}
    await _until(service)
    assert len(service.doorstep) == 0


async def test_a_byte_now_and_then_buys_no_time(call: Call, service: Service) -> None:
    caller = await call(service)
    for letter in "GET /v1/i":
        caller.say(letter)
        await asyncio.sleep(0.001)
        service.pass_time(1)
    await _until(service, head=1)
    service.pass_time(1.1)
    assert (await caller.reply())[0] == 408


@pytest.mark.parametrize("path", ["/v1/sessions", "/v1/ice", "/v1/admin/rooms", "/nothing"])
async def test_a_body_that_does_not_end_has_its_time(call: Call, service: Service, path: str) -> None:
    caller = await call(service)
    caller.say(HEAD.replace("GET", "POST").replace("/v1/info", path) + "Content-Length: 100\r\n\r\nhalf")
    await _until(service, body=1)
    service.pass_time(30.1)
    await _until(service)
    statuses = [(await caller.reply())[0]]
    assert await caller.is_over()
    assert statuses[-1] in (401, 404, 405, 408)
    assert _turned_away(service) == {"body_timeout": 1}
    assert service.instruments.sessions_opened["poll",] == 0


async def test_what_is_answered_before_its_body_came_is_waited_for_no_longer(call: Call, service: Service) -> None:
    """The answer is there; the rest of the request is still owed, and is no way to keep the connection."""
    caller = await call(service)
    caller.say(HEAD + "Content-Length: 100\r\n\r\nhalf")
    assert (await caller.reply())[0] == 200
    await _until(service, body=1)
    service.pass_time(30.1)
    assert await caller.is_over()
    assert _turned_away(service) == {"body_timeout": 1}


async def test_a_second_request_has_a_time_of_its_own(call: Call, service: Service) -> None:
    caller = await call(service)
    caller.say(HEAD + "\r\n")
    assert (await caller.reply())[0] == 200
    await _until(service)
    service.pass_time(9)
    caller.say("GET")
    await _until(service, head=1)
    service.pass_time(9)
    await _until(service, head=1)
    service.pass_time(1.1)
    assert (await caller.reply())[0] == 408


async def test_a_websocket_has_left_the_doorstep(service: Service) -> None:
    peer = await service.enter()
    await peer.hear("welcome")
    await _until(service)
    assert len(service.doorstep) == 0
    service.pass_time(20)
    await peer.say("ping")
    await peer.hear("pong")


@pytest.mark.parametrize(
    "said",
    [
        "NONSENSE\r\n\r\n",
        HEAD + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        HEAD + "Content-Length: -1\r\n\r\n",
        HEAD + "X: " + "x" * 20000,
        HEAD + "Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
    ],
)
async def test_what_is_no_request_is_told_so(call: Call, service: Service, said: str) -> None:
    caller = await call(service)
    caller.say(said)
    status, body = await caller.reply()
    assert (status, '"code":"bad_request"' in body) == (400, True)
    assert await caller.is_over()
    assert _turned_away(service) == {"malformed": 1}


@pytest.mark.parametrize(
    "framing", ["Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "X: " + "x" * 20000 + "\r\n\r\n"]
)
async def test_a_refusal_to_who_asks_for_the_head_alone_is_that(call: Call, service: Service, framing: str) -> None:
    caller = await call(service)
    caller.say(HEAD.replace("GET", "HEAD") + framing)
    assert await caller.head() == 400
    assert await caller.is_over()


async def test_nonsense_behind_an_answer_only_ends_the_connection(call: Call, service: Service) -> None:
    caller = await call(service)
    caller.say(HEAD + "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
    assert (await caller.reply())[0] == 200
    caller.say("ZZ\r\n")
    assert await caller.is_over()


async def test_half_a_request_takes_no_effect(call: Call, service: Service) -> None:
    """All that is missing is the last line feed; it was not sent, so nothing was asked."""
    hello = f'{{{{"v":1,"token":"{JOIN_KEY}"}}}}'
    caller = await call(service)
    caller.say(HEAD.replace("GET /v1/info", "POST /v1/sessions") + f"Content-Length: {len(hello) - 1}\r\n\r\n" + hello)
    await _until(service, body=1)
    caller.hang_up()
    await _until(service)
    await eventually(lambda: service.instruments.errors["bad_request",] > 0)
    assert len(service.hub.roster) == 0


async def test_a_source_has_so_many_connections(call: Call) -> None:
    async with Service(limits__connections_per_source=2) as service:
        callers = [await call(service) for _ in range(3)]
        assert (await callers[2].reply())[0] == 429
        assert await callers[2].is_over()
        assert _turned_away(service) == {"per_source": 1}
        callers[0].say(HEAD + "\r\n")
        assert (await callers[0].reply())[0] == 200
        callers[1].hang_up()
        await _until(service)
        another = await call(service)
        another.say(HEAD + "\r\n")
        assert (await another.reply())[0] == 200


async def test_a_proxy_is_no_source(call: Call) -> None:
    async with Service(limits__connections_per_source=1, trusted_proxies=["127.0.0.0/8"]) as service:
        callers = [await call(service) for _ in range(3)]
        for caller in callers:
            caller.say(HEAD + "\r\n")
        assert [(await caller.reply())[0] for caller in callers] == [200, 200, 200]
        assert len(service.doorstep) == 0


async def test_there_are_no_more_connections_than_files() -> None:
    async with Service() as service:
        full = Doorstep(service.hub, files=260)
        assert full.judge(None, total=4) is None
        refusal = full.judge(None, total=5)
        assert refusal is not None
        assert refusal.code.status == 503


class _Turns(list[Callable[[], None]]):
    """The turns of the turnstile, in hand."""

    def turn(self) -> None:
        due = self.copy()
        self.clear()
        for do in due:
            do()


async def test_what_comes_together_is_read_a_few_requests_a_turn(call: Call, service: Service) -> None:
    """Requests, handshakes, and what makes no sense: each costs more than it costs to leave it in its line."""
    turns = _Turns()
    service.hub.turnstile = Turnstile(turns.append)
    handshake = (
        HEAD.replace("info", "ws") + "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    )
    kinds = [HEAD, handshake + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n", HEAD + "nonsense\r\n"]
    callers = [await call(service) for _ in range(3 * A_TURN)]
    for number, caller in enumerate(callers):
        caller.say(kinds[number % 3] + "\r\n")
    turnstile = service.hub.turnstile
    await eventually(lambda: len(turnstile) == 2 * A_TURN)
    for waiting in (2 * A_TURN, A_TURN, 0):
        await asyncio.sleep(0.01)
        assert len(turnstile) == waiting
        turns.turn()
    assert sorted([(await caller.reply())[0] for caller in callers]) == [200] * A_TURN + [400] * A_TURN + [403] * A_TURN


async def test_requests_of_one_connection_are_as_many(call: Call, service: Service) -> None:
    turns = _Turns()
    service.hub.turnstile = Turnstile(turns.append)
    caller = await call(service)
    caller.say((HEAD + "\r\n") * 3 * A_TURN)
    for _ in range(A_TURN):
        assert (await caller.reply())[0] == 200
    await eventually(lambda: len(service.hub.turnstile) == 1)
    assert service.doorstep.unfinished() == {("head",): 1, ("body",): 0}
    turns.turn()
    for _ in range(A_TURN):
        assert (await caller.reply())[0] == 200
    turns.turn()
    for _ in range(A_TURN):
        assert (await caller.reply())[0] == 200
    await _until(service)


async def test_who_waits_is_not_read_and_may_go(call: Call, service: Service) -> None:
    """What comes behind it stays in the kernel; the place of who has gone is nobody's."""
    turns = _Turns()
    service.hub.turnstile = Turnstile(turns.append)
    callers = [await call(service) for _ in range(A_TURN + 2)]
    for caller in callers:
        caller.say("GET /v1/info HTTP/1.1\r\n")
        await asyncio.sleep(0.002)
    await eventually(lambda: len(service.hub.turnstile) == 2)
    callers[-1].say("Host: {0}\r\n\r\n")
    callers[-2].hang_up()
    await asyncio.sleep(0.01)
    assert len(service.hub.turnstile) == 2
    service.hub.turnstile = Turnstile()
    turns.turn()
    await eventually(lambda: service.connections == A_TURN + 1)
    assert (await callers[-1].reply())[0] == 200


async def test_where_too_much_waits_the_next_are_turned_away(call: Call, service: Service) -> None:
    turns = _Turns()
    turnstile = service.hub.turnstile = Turnstile(turns.append)
    for _ in range(A_TURN):
        turnstile.enter("others", lambda: None)
    turnstile.enter("others", lambda: None, MOST_BYTES)
    caller = await call(service)
    caller.say(HEAD + "\r\n")
    status, body = await caller.reply()
    assert (status, '"code":"over_capacity"' in body) == (503, True)
    assert await caller.is_over()
    assert _turned_away(service) == {"capacity": 1}


async def test_whose_turn_does_not_come_is_not_told_that_it_was_late(call: Call, service: Service) -> None:
    turnstile = service.hub.turnstile = Turnstile(_Turns().append)
    for _ in range(A_TURN):
        turnstile.enter("others", lambda: None)
    caller = await call(service)
    caller.say(HEAD + "\r\n")
    await eventually(lambda: len(turnstile) == 1)
    service.pass_time(10.1)
    status, body = await caller.reply()
    assert (status, '"code":"over_capacity"' in body) == (503, True)
    assert await caller.is_over()
    assert _turned_away(service) == {"capacity": 1}
