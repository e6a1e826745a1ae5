"""Redis stands still, is emptied, comes back without anything: what was promised then, on daemons as they run."""

import asyncio
import os
import time
from pathlib import Path

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


async def _http(daemon: Daemon) -> httpx.AsyncClient:
    address = await asyncio.to_thread(daemon.address, "http")
    return httpx.AsyncClient(base_url=f"http://{address}", timeout=20, headers={"Authorization": f"Bearer {JOIN_KEY}"})


async def _joins_again(daemon: Daemon, within: float) -> None:
    """A new client comes into a room, so many seconds from now at the latest."""
    deadline = time.monotonic() + within
    async with await _http(daemon) as http:
        while (await http.post("/v1/sessions", json={"v": 1, "token": JOIN_KEY})).status_code != 201:
            assert time.monotonic() < deadline, f"not back within {within} s"
            await asyncio.sleep(0.05)


async def test_while_redis_stands_still_everything_waits_that_needs_it_and_nothing_else(
    daemons: Daemons, redis_server: RedisServer
) -> None:
    one, other = await asyncio.to_thread(nodes_on, daemons, redis_server)
    async with Talker(one) as alice, Talker(other) as bob, await _http(one) as http:
        await alice.until(lambda: len(alice.frames) >= 3)
        await bob.until(lambda: bob.seq >= 2)
        redis_server.pause()
        begun = time.monotonic()
        reply = await alice.ask("join", data={"room": "q"})
        refused = await http.post("/v1/sessions", json={"v": 1, "token": JOIN_KEY})
        assert time.monotonic() - begun < 2
        assert (reply["type"], reply["data"]["code"]) == ("error", "engine_unavailable")
        assert (refused.status_code, refused.json()["code"]) == (503, "engine_unavailable")
        assert (await http.get("/v1/ice")).status_code == 200
        assert (await asyncio.to_thread(one.get, "/healthz"))[0] == 200
        assert (await asyncio.to_thread(one.get, "/readyz"))[0] == 503
        await asyncio.sleep(max(0.0, _PAUSE - (time.monotonic() - begun)))
        redis_server.go_on()
        await _joins_again(one, 5)
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
        begun = time.monotonic()
        refused = await http.post("/v1/sessions", json={"v": 1, "token": JOIN_KEY})
        assert (refused.status_code, refused.json()["code"]) == (503, "engine_unavailable")
        assert time.monotonic() - begun < 1
        assert (await http.get("/v1/ice")).status_code == 200
        redis_server.go_on()
        await _joins_again(node, 5)
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
        back = time.monotonic()
        await alice.until(lambda: alice.closed, 10)
        await bob.until(lambda: bob.closed, 10)
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
        assert (alice.closed, bob.closed) == ([4201], [4201])
        await _joins_again(one, 5 - (time.monotonic() - back))
        for talker, node in ((alice, other), (bob, one)):
            await talker.dial(node)
            await talker.until(lambda talker=talker: talker.resets == 1 and talker.seq >= 2)
        assert not alice.welcome["resumed"]
        await alice.until(lambda: alice.frames[-1]["type"] in ("joined", "member.joined"))
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
