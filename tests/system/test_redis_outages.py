"""Redis stands still, is emptied, comes back without anything: what was promised then, on daemons as they run."""

import asyncio
import os
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.processes import JOIN_KEY, Daemon, Daemons, signaling_on_loopback
from tests.redis_server import RedisServer
from tests.system.members import Member, Pair
from tests.system.talkers import Talker, nodes_on
from tests.turn_client import Sockets

pytestmark = pytest.mark.requires("redis-server")

#: seconds for which Redis stands still; more than a node may be silent before it is taken for dead
_PAUSE = float(os.environ.get("FAIRLEAD_REDIS_PAUSE", "7"))
#: seconds for which a call has to do without Redis
_AWAY = 2.0
#: seconds between two looks
_TICK = 0.05

T = TypeVar("T")


async def _http(daemon: Daemon) -> httpx.AsyncClient:
    address = await asyncio.to_thread(daemon.address, "http")
    return httpx.AsyncClient(base_url=f"http://{address}", timeout=20, headers={"Authorization": f"Bearer {JOIN_KEY}"})


async def _joins_again(daemon: Daemon) -> None:
    """A new client is let in within five seconds, which are as many tries: a node that answers slowly has more time."""
    async with await _http(daemon) as http:
        for _ in range(round(5 / _TICK)):
            if (await http.post("/v1/sessions", json={"v": 1, "token": JOIN_KEY})).status_code == 201:
                return
            await asyncio.sleep(_TICK)
    raise AssertionError("not back within 5 s")


async def _while_others_are_served(asked: Awaitable[T], http: httpx.AsyncClient, seconds: float) -> T:
    """The reply, which takes no longer than so many seconds' worth of what needs no Redis, asked for now and then."""
    reply, served = asyncio.ensure_future(asked), 0
    while not reply.done():
        assert (await http.get("/v1/info")).status_code == 200
        await asyncio.sleep(_TICK)
        served += 1
    assert served <= seconds / _TICK
    return reply.result()


async def test_while_redis_stands_still_everything_waits_that_needs_it_and_nothing_else(
    daemons: Daemons, redis_server: RedisServer
) -> None:
    one, other = await asyncio.to_thread(nodes_on, daemons, redis_server)
    async with Talker(one) as alice, Talker(other) as bob, await _http(one) as http:
        await alice.until(lambda: len(alice.frames) >= 3)
        await bob.until(lambda: bob.seq >= 2)
        redis_server.pause()
        begun = time.monotonic()
        reply = await _while_others_are_served(alice.ask("join", data={"room": "q"}), http, 1)
        opening = http.post("/v1/sessions", json={"v": 1, "token": JOIN_KEY})
        refused = await _while_others_are_served(opening, http, 1)
        assert (reply["type"], reply["data"]["code"]) == ("error", "engine_unavailable")
        assert (refused.status_code, refused.json()["code"]) == (503, "engine_unavailable")
        assert (await http.get("/v1/ice")).status_code == 200
        assert (await asyncio.to_thread(one.get, "/healthz"))[0] == 200
        assert (await asyncio.to_thread(one.get, "/readyz"))[0] == 503
        await asyncio.sleep(max(0.0, _PAUSE - (time.monotonic() - begun)))
        redis_server.go_on()
        await _joins_again(one)
        for number in range(5):
            assert (await alice.ask("message", room="r", to="*", data=number))["type"] == "ok"
        await bob.until(lambda: bob.heard == [0, 1, 2, 3, 4])
        assert (await alice.ask("join", data={"room": "q"}))["type"] in ("ok", "joined")
        assert (alice.closed, bob.closed, alice.resets + bob.resets) == ([], [], 0)
    await asyncio.to_thread(one.await_ready)


async def test_a_node_that_starts_while_redis_is_away_is_alive_and_ready_once_redis_is(
    daemons: Daemons, redis_server: RedisServer
) -> None:
    redis_server.pause()
    own = {"engine": {"kind": "redis", "url": redis_server.url}}
    node = daemons.start("signal_api", signaling_on_loopback("turn:127.0.0.1:3478", own=own))
    async with await _http(node) as http:
        assert (await asyncio.to_thread(node.get, "/healthz"))[0] == 200
        status, why = await asyncio.to_thread(node.get, "/readyz")
        assert (status, "the store does not answer" in why) == (503, True)
        opening = http.post("/v1/sessions", json={"v": 1, "token": JOIN_KEY})
        refused = await _while_others_are_served(opening, http, 1)
        assert (refused.status_code, refused.json()["code"]) == (503, "engine_unavailable")
        assert (await http.get("/v1/ice")).status_code == 200
        redis_server.go_on()
        await _joins_again(node)
    await asyncio.to_thread(node.await_ready)
    warning = node.await_record("without Redis nobody can join a room or open a session")
    assert "signal_api.engine.url" in warning["remedy"]
    assert redis_server.url.partition("://")[2].partition("/")[0] == warning["at"]


@pytest.mark.parametrize("how", ["emptied", "restarted"])
async def test_when_redis_has_lost_everything_all_begin_anew_and_are_told(
    how: str, daemons: Daemons, redis_server: RedisServer
) -> None:
    one, other = await asyncio.to_thread(nodes_on, daemons, redis_server)
    async with Talker(one) as alice, Talker(other) as bob:
        await bob.until(lambda: bob.seq >= 2)
        await alice.until(lambda: len(alice.frames) >= 2)
        speaking = asyncio.create_task(_speak(alice))
        await bob.until(lambda: len(bob.heard) > 20)
        if how == "emptied":
            redis_server.command("FLUSHALL")
        else:
            redis_server.kill()
            await asyncio.to_thread(redis_server.start)
        await alice.until(lambda: alice.closed)
        await bob.until(lambda: bob.closed)
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
        assert (alice.closed, bob.closed) == ([4201], [4201])
        await _joins_again(one)
        begun = len(alice.frames)
        for talker, node in ((alice, other), (bob, one)):
            await talker.dial(node)
            await talker.until(lambda talker=talker: talker.resets == 1 and talker.seq >= 2)
        assert not alice.welcome["resumed"]
        await alice.until(lambda: "member.joined" in [frame["type"] for frame in alice.frames[begun:]])
        count = len(bob.heard)
        assert (await alice.ask("message", room="r", to="*", data="after"))["type"] == "ok"
        await bob.until(lambda: bob.heard[count:] == ["after"])


def test_a_call_loses_nothing_while_redis_stands_still_and_while_it_is_gone(
    daemons: Daemons, sockets: Sockets, redis_server: RedisServer, tmp_path: Path
) -> None:
    """Rooms are kept there, and turnd is told by way of it."""
    own = {"engine": {"kind": "redis", "url": redis_server.url}}
    pair = Pair(daemons, tmp_path, signal_api=own, redis=redis_server.url)
    call = Member(pair, sockets, "r").call
    with call.assert_loses_nothing():
        redis_server.pause()
        time.sleep(_AWAY)  # the call goes on in a thread of its own
        redis_server.go_on()
        pair.signal_api.await_ready()
        redis_server.kill()
        time.sleep(_AWAY)  # the call goes on in a thread of its own
        redis_server.start()
        pair.signal_api.await_ready()


async def _speak(talker: Talker) -> None:
    for number in range(100000):
        try:
            await talker.send("message", room="r", to="*", data=number)
        except ConnectionClosed:
            return
        await asyncio.sleep(0.002)
