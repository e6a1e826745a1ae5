"""Sessions come into rooms, move, leave and end at random, at nodes that stop and do not hear every answer of Redis: in
the end a room has those who live, and nobody else."""

import asyncio
import contextlib
import gc
import itertools
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signal_api.clients import Client
from signal_api.engine.redis.scripts import CLAIM, COMMIT, KEEP
from signal_api.engine.redis.store import PATIENCE
from signal_api.protocol.effects import LeaveReason
from signal_api.protocol.refusals import CloseCode, Closing, EngineUnavailableError
from tests.redis_proxy import RedisProxy, proxy_to
from tests.redis_server import RedisServer
from tests.signal_api.cluster import Cluster, RedisNode, cluster_on
from tests.signal_api.socketless import Line, Seat

_ROOMS = ("r", "q")
_prefixes = (f"ghosts{number}" for number in itertools.count())
#: stories that are played; whoever asks for more has more patience than `make test`
_STORIES = int(os.environ.get("FAIRLEAD_GHOSTS", "4"))

_SCRIPTS = {"claim": CLAIM, "commit": COMMIT, "keep": KEEP}
_LOST = ("claim", "commit", "commit", "keep")
_ANY = st.integers(0, 3)
_STEPS = st.one_of(
    st.tuples(st.just("enter"), _ANY, st.none()),
    *(st.tuples(st.just(verb), _ANY, st.sampled_from(_ROOMS)) for verb in ("join", "join", "leave", "join and end")),
    st.tuples(st.just("end"), _ANY, st.none()),
    st.tuples(st.just("move"), _ANY, st.none()),
    st.tuples(st.just("stop"), _ANY, st.none()),
    *(
        st.tuples(st.just("lose the reply to"), st.just(what), st.none())
        for what in ("claim", "commit", "commit", "keep")
    ),
)


class Story:
    """Two nodes on a way to Redis that loses answers, one that hears all, and whoever is here."""

    def __init__(self, cluster: Cluster, proxy: RedisProxy, nodes: list[RedisNode]) -> None:
        self._cluster = cluster
        self._proxy = proxy
        self._nodes = nodes
        self._witness = cluster.nodes[0]
        self._seats: list[Seat] = []

    async def tell(self, verb: str, what: Any, room: str | None) -> None:
        if verb == "enter":
            await self._let_in(self._nodes[what % 2])
        elif verb == "lose the reply to":
            self._proxy.watch(_SCRIPTS[what])
        elif verb == "stop":
            await self._nodes[what % 2].stop()
            self._nodes[what % 2] = await self._cluster.node(self._proxy.url, PATIENCE)
        elif self._seats:
            await self._have(verb, self._seats[what % len(self._seats)], room)

    async def _have(self, verb: str, seat: Seat, room: str | None) -> None:
        if verb in ("join", "leave"):
            await seat.say(verb, room=room)
            return
        self._seats.remove(seat)
        if verb == "move":
            resume = {"sid": seat.welcome["sid"], "key": seat.welcome["key"], "after": f"{seat.welcome['epoch']}.1"}
            other = next(node for node in self._nodes if node is not seat.node)
            await self._let_in(other, resume=resume)
            return
        coming = asyncio.create_task(seat.say("join", room=room)) if room is not None else None
        await asyncio.sleep(0)
        if not seat.client.is_elsewhere:
            seat.node.hub.end(seat.client, LeaveReason.LEAVE)
        if coming is not None:
            await coming

    async def _let_in(self, node: RedisNode, **hello: Any) -> None:
        line = Line()
        client = await node.let_in(line, **hello)
        if isinstance(client, Client):
            self._seats.append(Seat(node, client, line))
        else:
            assert isinstance(client, Closing)
            assert client.code is CloseCode.ENGINE_UNAVAILABLE

    async def ghosts(self, server: RedisServer, prefix: str) -> set[str]:
        """Sessions that a room or Redis has and no node, and those that a node has and Redis has not. Raises
        EngineUnavailableError."""
        living = {client.sid for node in self._cluster.nodes if node.is_alive for client in node.hub.roster}
        keys = server.command("KEYS", f"{prefix}:s:*").split(b"\r\n")
        kept = {key.rpartition(b":")[2].decode() for key in keys if key.startswith(prefix.encode())}
        rooms = [(await self._witness.redis.load(room)).room for room in _ROOMS]
        members = {member.sid for room in rooms if room is not None for member in room.members.values()}
        return (members | kept) ^ living


# A pool of redis-py loses a connection that is interrupted, and leaves it to the garbage collector.
@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore:loop is closed:ResourceWarning")
@pytest.mark.requires("redis-server")
@settings(max_examples=_STORIES, deadline=None)
@given(st.lists(_STEPS, min_size=6, max_size=16))
def test_a_room_has_those_who_live_and_nobody_else(one_redis: RedisServer, steps: list[tuple[str, Any, Any]]) -> None:
    asyncio.run(_play(one_redis, [("enter", 0, None), ("enter", 1, None), *steps]))
    gc.collect()


async def _play(server: RedisServer, steps: list[tuple[str, Any, Any]]) -> None:
    prefix = next(_prefixes)
    async with proxy_to(server) as proxy, cluster_on(server.url, prefix) as cluster:
        await cluster.node()
        story = Story(cluster, proxy, [await cluster.node(proxy.url, PATIENCE) for _ in range(2)])
        for step in steps:
            await story.tell(*step)
        ghosts = {"not known yet"}
        for _ in range(150):
            with contextlib.suppress(EngineUnavailableError):
                ghosts = await story.ghosts(server, prefix)
            if not ghosts:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"neither dead nor alive: {ghosts}")
