"""A node goes, in peace or not: its clients go on at the other one."""

import asyncio
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from fairlead.daemon import take_all_files
from tests.processes import Daemon, Daemons
from tests.redis_server import RedisServer
from tests.system.talkers import Talker, nodes_on
from tests.waiting import eventually

pytestmark = pytest.mark.requires("redis-server")

#: clients of the node that goes
_CLIENTS = int(os.environ.get("FAIRLEAD_DRAINED_CLIENTS", "40"))
_IN_A_ROOM = 40
#: what is shown of the node that stays
_COUNTS = (("takeovers", "how"), ("calls", "result"))


@pytest.fixture
def files() -> Iterator[None]:
    """The clients are in this process, which is often given 1024 files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert take_all_files() > _CLIENTS * 1.1 + 100, (
        "too few files for so many clients; raise the hard limit (ulimit -Hn)"
    )
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("files")
async def test_clients_of_a_node_that_drains_lose_nothing_and_do_not_come_all_at_once(
    daemons: Daemons, redis_server: RedisServer
) -> None:
    window = max(2.0, _CLIENTS / 100)
    one, other = await asyncio.to_thread(nodes_on, daemons, redis_server, drain_deadline=window * 1.25)
    talkers = [Talker(one, f"r{number // _IN_A_ROOM}") for number in range(_CLIENTS)]
    speakers = [Talker(other, room) for room in sorted({talker.room for talker in talkers})]
    for some in range(0, len(talkers) + len(speakers), 50):
        await asyncio.gather(*(talker.dial() for talker in (*talkers, *speakers)[some : some + 50]))
    for talker in (*talkers, *speakers):
        await _come_in(talker)
    sent = 0
    one.signal(signal.SIGTERM)
    moves = [asyncio.create_task(_follow(talker, other)) for talker in talkers]
    while not all(move.done() for move in moves):
        for speaker in speakers:
            await speaker.insist("message", room=speaker.room, to="*", data=sent)
        sent += 1
        await asyncio.sleep(0.1)
    came, waited = zip(*await asyncio.gather(*moves), strict=True)
    for talker in talkers:
        await talker.until(lambda talker=talker: len(talker.heard) == sent or talker.resets, 60)
        assert (talker.heard, talker.closed, talker.resets) == (list(range(sent)), [], 0)
    for talker in (*talkers, *speakers):
        await talker.__aexit__(None, None, None)
    spread = max(came) - min(came)
    counted = await asyncio.to_thread(other.metrics)
    took, calls = (counted.by(f"signal_redis_{name}_total", label) for name, label in _COUNTS)
    sys.stdout.write(f"{_CLIENTS} clients came over within {spread:.1f} s, {sent} frames each, none lost; ")
    sys.stdout.write(f"the slowest was back {max(waited):.1f} s after it had dialled\n")
    sys.stdout.write(f"takeovers {took}, calls of Redis {calls}\n")
    assert spread > window / 2
    assert await asyncio.to_thread(one.exit_code) == 0


async def _come_in(talker: Talker) -> None:
    """A node that has too much to do may say so, and is asked again."""
    async with asyncio.timeout(60):
        while talker.seq < 2:
            if talker.closed:
                assert talker.closed == [4102]
                talker.closed.clear()
                await talker.dial()
            await asyncio.sleep(0.05)


async def _follow(talker: Talker, node: Daemon) -> tuple[float, float]:
    """Waits to be sent away, as long again as it is told, and comes to the other node; when it dialled, and how long
    it took."""
    await talker.until(lambda: talker.closed, 120)
    assert talker.closed == [4200]
    drain = next(frame for frame in talker.frames if frame["type"] == "drain")
    await asyncio.sleep(drain["data"]["retry_ms"] / 1000)
    at = time.monotonic()
    while talker.closed:
        talker.closed.clear()
        welcomed = len(talker.frames)
        await talker.dial(node)
        await talker.until(lambda welcomed=welcomed: len(talker.frames) > welcomed or talker.closed, 60)
        assert talker.closed in ([], [4102]), "a node that has too much to do may say so"
    return at, time.monotonic() - at


async def _kept(talker: Talker, server: RedisServer) -> None:
    """Returns when Redis has all that a client was told."""
    key, has = f"fairlead:s:{talker.welcome['sid']}", f"\r\n{talker.seq}\r\n".encode()
    await eventually(lambda: server.command("HGET", key, "seq").endswith(has))


async def test_the_client_of_a_node_that_was_killed_goes_on_at_the_other(
    daemons: Daemons, redis_server: RedisServer
) -> None:
    one, other = await asyncio.to_thread(nodes_on, daemons, redis_server)
    one.is_expected_to_fail = True
    async with Talker(one) as alice, Talker(other) as bob:
        await alice.until(lambda: alice.seq >= 2)
        await bob.until(lambda: bob.seq >= 2)
        for number in range(10):
            assert (await bob.ask("message", room="r", to="*", data=number))["type"] == "ok"
        await alice.until(lambda: len(alice.heard) == 10)
        await _kept(alice, redis_server)
        one.kill()
        await alice.until(lambda: alice.closed, 20)
        assert (await bob.ask("message", room="r", to="*", data=10))["type"] == "ok"
        begun = time.monotonic()
        await alice.dial(other)
        await alice.until(lambda: alice.heard == list(range(11)))
        sys.stdout.write(f"went on {time.monotonic() - begun:.2f} s after it came to the other node\n")
        assert alice.resets == 0
