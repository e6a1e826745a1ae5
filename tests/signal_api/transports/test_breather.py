"""A loop that rests: real sockets, on both loops, and a clock that only moves when it is looked at or slept by."""

import asyncio
import socket
from typing import cast

import pytest
import uvloop

from signal_api.transports.breather import Breather
from signal_api.transports.lull import SPAN

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(params=LOOPS)
def runner(request: pytest.FixtureRequest) -> asyncio.Runner:
    return asyncio.Runner(loop_factory=LOOPS[request.param])


class Sleeper:
    """The clock; who sleeps hears first what has reached the other end by then. `turns` says how often the turn before
    a lull has begun and ended, as it was when it was slept."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.theirs.setblocking(False)
        self.slept: list[float] = []
        self.heard: list[bytes] = []
        self.begun = self.ended = 0
        self.turns: list[tuple[int, int]] = []
        self._now = 1000.0

    def now(self) -> float:
        self._now += 1e-5
        return self._now

    def begin(self) -> None:
        self.begun += 1

    def end(self) -> None:
        self.ended += 1

    def sleep(self, seconds: float) -> None:
        self.turns.append((self.begun, self.ended))
        self.slept.append(seconds)
        self._now += seconds
        self.heard.append(self.theirs.recv(100))


class Echo(asyncio.Protocol):
    """Answers what comes, each byte as if it had come by itself."""

    def __init__(self, breather: Breather, over: asyncio.Future[None]) -> None:
        self._breather = breather
        self._over = over

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for _ in data:
            self._breather.heard()
        self._transport.write(data.upper())
        # The loop has rested by the time that this is called.
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._over.set_result, None)


async def _answered(sleeper: Sleeper, said: bytes, is_awaited: bool = False) -> None:
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    breather = Breather(sleeper.begin, sleeper.end, lambda: is_awaited, sleeper.now, sleeper.sleep)
    transport, _ = await loop.create_connection(lambda: Echo(breather, over), sock=sleeper.ours)
    sleeper.theirs.send(said)
    await over
    transport.close()


def test_a_loop_rests_once_a_turn_when_all_is_written(runner: asyncio.Runner) -> None:
    sleeper = Sleeper()
    with runner, sleeper.theirs:
        # So many that the rate is known just before the last of them.
        runner.run(_answered(sleeper, b"a" * 2010))
    assert sleeper.heard == [b"A" * 100]
    assert 0 < sleeper.slept[0] <= SPAN
    assert sleeper.turns == [(1, 1)], "what was gathered is written before the lull"


def test_it_does_not_rest_while_somebody_waits_for_the_next_turn(runner: asyncio.Runner) -> None:
    sleeper = Sleeper()
    with runner, sleeper.theirs:
        runner.run(_answered(sleeper, b"a" * 2010, is_awaited=True))
    assert not sleeper.slept
    assert (sleeper.begun, sleeper.ended) == (1, 1)


def test_who_speaks_alone_finds_no_rest(runner: asyncio.Runner) -> None:
    sleeper = Sleeper()
    with runner, sleeper.theirs:
        runner.run(_answered(sleeper, b"a"))
        assert sleeper.theirs.recv(100) == b"A"
    assert not sleeper.slept
    assert not sleeper.begun
