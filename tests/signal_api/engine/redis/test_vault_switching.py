"""Receivers change nodes and transports at random, connections are lost, nodes die: there is no hole, and nothing comes
twice."""

import asyncio
import itertools
import json
import os
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signal_api.engine.redis.scripts import CLAIM, KEEP, READ, TELL
from signal_api.engine.redis.store import PATIENCE
from signal_api.protocol.refusals import CloseCode, Closing
from tests.redis_proxy import proxy_to
from tests.redis_server import RedisServer
from tests.signal_api.cluster import Cluster, RedisNode, cluster_on
from tests.signal_api.listener import Listener
from tests.signal_api.socketless import Line, Seat
from tests.signal_api.transports.web import STREAM, Call

_TRANSPORTS = ("websocket", "sse", "poll")
_prefixes = (f"switching{number}" for number in itertools.count())
#: how often one session is made to reconnect; `make test` has less patience than whoever asks for more
_RECONNECTS = int(os.environ.get("FAIRLEAD_RECONNECTS", "60"))


class Receiver(Listener):
    """A client as the protocol wants it: it keeps its last id and takes what it is given in order."""

    def __init__(self, seat: Seat) -> None:
        super().__init__()
        self.welcome = seat.welcome
        self.line: Line | None = seat.line
        self.call: Call | None = None
        self._read = 0

    def read(self) -> None:
        """Takes what its connection was sent since."""
        frames = self.line.frames if self.line is not None else self.call.frames() if self.call is not None else []
        self.take(*frames[self._read :])
        self._read = len(frames)

    async def connect(self, node: RedisNode, transport: str) -> None:
        """Leaves the old connection standing, which the new one ends; tries again when it is asked to."""
        self.read()
        position, old = self.position, self.call
        self.line = self.call = None
        self._read = 0
        by = self._by_websocket if transport == "websocket" else partial(self._by_http, transport)
        async with asyncio.timeout(20):
            while not await by(node, position):  # noqa: ASYNC110 - nobody says when
                await asyncio.sleep(0.1)
        if old is not None:
            await old.cut()
        self.read()

    async def _by_websocket(self, node: RedisNode, position: str) -> bool:
        self.line = Line()
        resume = {"sid": self.welcome["sid"], "key": self.welcome["key"], "after": position}
        client = await node.let_in(self.line, resume=resume)
        if isinstance(client, Closing):
            assert client.code is CloseCode.ENGINE_UNAVAILABLE, client
            return False
        assert client.sid == self.welcome["sid"], "somebody else"
        return True

    async def _by_http(self, transport: str, node: RedisNode, position: str) -> bool:
        headers = {"Authorization": f"Bearer {self.welcome['key']}"}
        query = f"?after={position}&wait=0&max=256" if transport == "poll" else f"?after={position}"
        headers |= STREAM if transport == "sse" else {}
        call = Call(node.http, "GET", f"/v1/sessions/{self.welcome['sid']}/events{query}", headers)
        while transport == "sse" and not call.sent:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.002)
        if transport == "poll":
            await call.task
        if call.status == 503:
            return False
        assert call.status == 200, call.body
        if transport == "poll":
            self.take(*json.loads(call.body)["events"])
        else:
            self.call = call
        return True


_STEPS = st.one_of(
    st.tuples(st.just("connect"), st.sampled_from(_TRANSPORTS), st.integers(0, 1)),
    st.tuples(st.just("connect"), st.sampled_from(_TRANSPORTS), st.integers(0, 1)),
    st.tuples(st.just("send"), st.integers(1, 5), st.booleans()),
    st.tuples(st.just("die"), st.none(), st.integers(0, 1)),
    st.tuples(st.just("time"), st.sampled_from([0.0, 0.02]), st.none()),
    st.tuples(st.just("lose the reply to"), st.sampled_from([CLAIM, READ, KEEP, TELL]), st.none()),
)


@pytest.mark.requires("redis-server")
@settings(max_examples=12, deadline=None)
@given(st.lists(_STEPS, min_size=4, max_size=12))
def test_no_switch_and_no_death_makes_a_hole(one_redis: RedisServer, steps: list[tuple[str, Any, Any]]) -> None:
    asyncio.run(_play(one_redis, steps))


async def _play(server: RedisServer, steps: list[tuple[str, Any, Any]]) -> None:
    async with proxy_to(server) as proxy, cluster_on(server.url, next(_prefixes)) as cluster:
        stage = await cluster.node()
        nodes = [await cluster.node(proxy.url, PATIENCE), await cluster.node(proxy.url, PATIENCE)]
        sender = await stage.enter(rooms=["r"])
        stranger = await stage.enter(rooms=["q"])
        receiver = Receiver(await nodes[0].enter(rooms=["r"]))
        await _until(receiver, lambda: receiver.seq >= 2)
        sent = sent_at_reset = 0
        for verb, what, which in [*steps, ("connect", "websocket", 1)]:
            resets = receiver.resets
            if verb == "connect":
                await receiver.connect(nodes[which], what)
            elif verb == "send":
                for number in range(sent, sent + what):
                    for _ in range(2 if which else 1):
                        await _say(sender, number)
                    await stranger.say("message", room="q", to="*", data=-1)
                sent += what
            elif verb == "die":
                receiver.read()
                await nodes[which].die()
                nodes[which] = await cluster.node(proxy.url, PATIENCE)
            elif verb == "time":
                await asyncio.sleep(what)
                receiver.read()
            else:
                proxy.watch(what)
            if receiver.resets > resets:
                sent_at_reset = sent
        await _say(sender, sent)
        await _until(receiver, lambda: receiver.seen[-1:] == [sent])
        assert len(receiver.seen) == len(set(receiver.seen)), "a frame twice"
        assert receiver.seen == list(range(receiver.seen[0], sent + 1)), "a hole"
        assert receiver.seen[0] <= sent_at_reset, "lost, and not told"
        if receiver.call is not None:
            await receiver.call.cut()


async def _say(sender: Seat, number: int) -> None:
    """Says it again, under the same id, until it is answered: on a busy machine Redis may not be heard in time."""
    async with asyncio.timeout(30):
        while True:
            await sender.say("message", room="r", to="*", data=number, id=f"n{number}")
            answer = next(frame for frame in reversed(sender.line.frames) if frame.get("re") == f"n{number}")
            if answer["type"] == "ok":
                return
            assert answer["data"]["retryable"], answer
            await asyncio.sleep(0.1)


async def _until(receiver: Receiver, is_so: Any) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.005)
            receiver.read()


async def test_a_session_that_is_made_to_reconnect_again_and_again(cluster: Cluster) -> None:
    """By every transport, at either node, with the last connection still open."""
    nodes = [await cluster.node(), await cluster.node()]
    sender = await nodes[0].enter(rooms=["r"])
    receiver = Receiver(await nodes[1].enter(rooms=["r"]))
    await _until(receiver, lambda: receiver.seq >= 2)
    for number in range(_RECONNECTS):
        await _say(sender, number)
        await receiver.connect(nodes[number % 2], _TRANSPORTS[number % 3])
        if number % 7 == 0:
            await receiver.connect(nodes[(number + 1) % 2], _TRANSPORTS[(number + 1) % 3])
    await receiver.connect(nodes[0], "websocket")
    await _until(receiver, lambda: len(receiver.seen) == _RECONNECTS)
    assert (receiver.seen, receiver.resets) == (list(range(_RECONNECTS)), 0)


async def test_a_connection_that_is_over_takes_nothing_from_another_node(cluster: Cluster) -> None:
    """Its hello had to wait, and its client is back by another meanwhile."""
    one, other = await cluster.node(), await cluster.node()
    alice = await one.enter()
    await one.kept()
    late = Line()
    late.close(CloseCode.NORMAL)
    resume = {"sid": alice.welcome["sid"], "key": alice.welcome["key"], "after": 1}
    assert isinstance(await other.let_in(late, resume=resume), Closing)
    assert (alice.client.connection, alice.line.closed) == (alice.line, None)
