"""One end of a link over a real Redis, which goes away and comes back."""

import asyncio
import itertools
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.link import Draining, Revoke, RevokeBy
from fairlead.link import exchange as module
from fairlead.link.exchange import Exchange, Ways
from fairlead.link.messages import Hello, Message
from tests.redis_server import RedisServer
from tests.waiting import eventually


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    started = RedisServer(tmp_path)
    yield started
    started.kill()


class End:
    """What one end has heard, and what it says to whoever comes."""

    def __init__(self, server: RedisServer, ways: Ways, *standing: Message) -> None:
        self.heard: list[Message] = []
        self.exchange = Exchange(server.url, ways, "tests", self._take, lambda: standing)
        self.exchange.start()

    def _take(self, message: Message) -> None:
        if not isinstance(message, Hello):
            self.heard.append(message)


TURND, SIGNAL_API = Ways.of_turnd("a"), Ways.of_signal_api("a")
REVOKE = Revoke(RevokeBy.USER, "u")
REVOKE_OF_ANOTHER_DAY = '{"type":"revoke","by":"user","value":"x","gently":true}'


async def test_who_comes_hears_what_stands_and_then_what_happens(server: RedisServer) -> None:
    turnd = End(server, TURND, Draining(1))
    await eventually(lambda: turnd.exchange.connected)
    api = End(server, SIGNAL_API, REVOKE)
    await eventually(lambda: REVOKE in turnd.heard and Draining(1) in api.heard)
    turnd.exchange.send(Draining(2))
    api.exchange.send(Revoke(RevokeBy.USER, "v"))
    await eventually(lambda: turnd.heard[-1] == Revoke(RevokeBy.USER, "v") and api.heard[-1] == Draining(2))
    late = End(server, SIGNAL_API)
    await eventually(lambda: Draining(1) in late.heard)
    assert Draining(2) not in late.heard, "what happened before is not told"
    for end in (turnd, api, late):
        await end.exchange.stop()


async def test_what_is_said_while_redis_is_away_is_said_when_it_is_back(server: RedisServer) -> None:
    turnd, api = End(server, TURND), End(server, SIGNAL_API, REVOKE)
    await eventually(lambda: REVOKE in turnd.heard)
    server.kill()
    await eventually(lambda: not turnd.exchange.connected and not api.exchange.connected)
    api.exchange.send(Revoke(RevokeBy.USER, "later"))
    server.start()
    await eventually(lambda: Revoke(RevokeBy.USER, "later") in turnd.heard)
    await eventually(lambda: turnd.heard.count(REVOKE) > 1)  # What stands is said anew: nobody knows what was lost.
    await asyncio.gather(turnd.exchange.stop(), api.exchange.stop())


async def test_others_who_write_there_are_not_heard(server: RedisServer) -> None:
    turnd = End(server, TURND)
    await eventually(lambda: turnd.exchange.connected)
    for field, value in (("m", "nonsense"), ("x", "{}")):
        server.command("XADD", TURND.reads, "*", field, value)
    api = End(server, SIGNAL_API, REVOKE)
    await eventually(lambda: turnd.heard == [REVOKE] * len(turnd.heard) != [])
    await asyncio.gather(turnd.exchange.stop(), api.exchange.stop())


async def test_another_release_is_named_and_said_once(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    turnd = End(server, TURND, Draining(1))
    await eventually(lambda: turnd.exchange.connected)
    hello = '{"type":"hello","version":1,"daemon":"signal_api"}'
    for line in (hello, REVOKE_OF_ANOTHER_DAY) * 3:
        server.command("XADD", TURND.reads, "*", "m", line)
    api = End(server, SIGNAL_API, REVOKE)
    await eventually(lambda: REVOKE in turnd.heard and Draining(1) in api.heard)
    said = [line for line in _problems(caplog) if "not understood" in line]
    assert "signal_api speaks version 1, we speak 2; run the same release" in said[0]
    assert "unknown field `gently`" in said[1]
    assert len(said) == 2
    assert set(turnd.heard) == {REVOKE}
    await asyncio.gather(turnd.exchange.stop(), api.exchange.stop())


async def test_it_waits_for_a_redis_that_is_not_there_yet(server: RedisServer) -> None:
    server.kill()
    turnd, api = End(server, TURND), End(server, SIGNAL_API)
    api.exchange.send(REVOKE)
    await asyncio.sleep(0.1)
    assert not turnd.exchange.connected
    server.start()
    await eventually(lambda: turnd.exchange.connected and api.exchange.connected)
    await eventually(lambda: turnd.heard == [REVOKE])
    assert (api.exchange.outbox.dropped, len(api.exchange.outbox)) == (0, 0)
    await asyncio.gather(turnd.exchange.stop(), api.exchange.stop())


def _problems(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


async def test_why_there_is_no_link_is_said_once_until_it_is_something_else(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.command("CONFIG", "SET", "requirepass", "right")
    exchange = Exchange(server.url, TURND, "tests", lambda _: None, tuple)
    exchange.start()
    await eventually(lambda: exchange.problem)
    assert "Authentication required" in str(exchange.problem)
    await asyncio.sleep(3 * module._PAUSE)
    server.kill()
    await eventually(lambda: "Connect call failed" in str(exchange.problem))
    server.start()
    await eventually(lambda: exchange.connected)
    assert exchange.problem is None
    server.kill()
    await eventually(lambda: not exchange.connected and "Connect call failed" in str(exchange.problem))
    said = _problems(caplog)
    await exchange.stop()
    # Where Redis went while something was asked, that is another reason.
    assert all(line != after for line, after in itertools.pairwise(said))
    assert ["Authentication required" in line for line in said] == [True] + [False] * (len(said) - 1)
    (closed,) = (place for place, line in enumerate(said) if "link closed" in line)
    assert sum("Connect call failed" in line for line in said[:closed]) == 1


async def test_a_redis_that_lost_its_streams_and_whose_clock_went_back_is_heard(server: RedisServer) -> None:
    ahead = int((time.time() + 60) * 1000)
    server.command("XADD", TURND.reads, f"{ahead}-0", "m", "{}")
    turnd, api = End(server, TURND), End(server, SIGNAL_API)
    await eventually(lambda: turnd.exchange.connected and api.exchange.connected)
    api.exchange.send(Revoke(RevokeBy.USER, "before"))
    await eventually(lambda: Revoke(RevokeBy.USER, "before") in turnd.heard)
    server.kill()
    await eventually(lambda: not turnd.exchange.connected and not api.exchange.connected)
    server.start()
    await eventually(lambda: turnd.exchange.connected)
    api.exchange.send(Revoke(RevokeBy.USER, "after"))
    await eventually(lambda: Revoke(RevokeBy.USER, "after") in turnd.heard)
    await asyncio.gather(turnd.exchange.stop(), api.exchange.stop())


@pytest.mark.logs_error("link broken")
async def test_a_fault_in_what_is_heard_does_not_end_the_link(server: RedisServer) -> None:
    heard: list[Message] = []

    def take(message: Message) -> None:
        heard.append(message)
        if message == REVOKE:
            raise RuntimeError("a fault of ours")

    exchange = Exchange(server.url, TURND, "tests", take, tuple)
    exchange.start()
    api = End(server, SIGNAL_API)
    await eventually(lambda: exchange.connected and api.exchange.connected)
    for said in (REVOKE, Revoke(RevokeBy.USER, "later")):
        api.exchange.send(said)
    await eventually(lambda: Revoke(RevokeBy.USER, "later") in heard)
    assert heard.count(REVOKE) == 1
    await asyncio.gather(exchange.stop(), api.exchange.stop())


def test_a_url_that_is_none_is_told_at_once() -> None:
    with pytest.raises(ValueError):
        Exchange("nonsense", TURND, "tests", lambda _: None, tuple)
