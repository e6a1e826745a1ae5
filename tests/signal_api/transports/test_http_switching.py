"""A receiver that changes transports at random, is cut off, loses replies and comes back: what it sees has no hole."""

import asyncio
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from signal_api.clients import Client
from signal_api.transports.http import HttpTransport
from tests.signal_api.listener import Listener
from tests.signal_api.socketless import Line, Node, Seat
from tests.signal_api.transports.web import STREAM, Call

_TRANSPORTS = ("websocket", "sse", "poll")


class Receiver(Listener):
    """A client as the protocol wants it: it keeps its last id, and drops nothing that it was given in order."""

    def __init__(self, node: Node, welcome: dict[str, Any]) -> None:
        super().__init__(welcome["epoch"], 1)
        self.node = node
        self.http = HttpTransport(node.hub, node.dispatch)
        self.welcome = welcome
        self.calls: list[Call] = []

    @property
    def client(self) -> Client:
        client = self.node.hub.roster.get(self.welcome["sid"])
        assert client is not None
        return client

    async def receive(self, transport: str, share: float, after: str | None = None) -> None:
        """Connects, and takes so much of what comes at once before the connection is lost, or left standing."""
        position = after or self.position
        if transport == "websocket":
            frames = await self._by_websocket(position)
        else:
            frames = await self._by_http(transport, position)
        self.take(*frames[: round(share * len(frames))])

    async def _by_websocket(self, position: str) -> list[dict[str, Any]]:
        line = Line()
        resume = {"sid": self.welcome["sid"], "key": self.welcome["key"], "after": position}
        client = self.node.try_to_enter(line, resume=resume)
        assert client is self.client
        await self.node.dispatch.begin(self.client)
        return line.frames

    async def _by_http(self, transport: str, position: str) -> list[dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.welcome['key']}"}
        query = f"?after={position}&wait=0&max=256"
        if transport == "sse":
            headers |= STREAM | {"Last-Event-ID": position}
            query = ""
        call = Call(self.http, "GET", f"/v1/sessions/{self.welcome['sid']}/events{query}", headers)
        self.calls.append(call)
        if transport == "poll":
            await call.task
            events: list[dict[str, Any]] = json.loads(call.body)["events"]
            return events
        await _let_run()
        if call.status == 204:
            return []  # It was replaced a moment ago and asks again, as a browser would by itself.
        return call.frames()

    async def drop(self) -> None:
        """Every connection is lost."""
        for call in self.calls:
            await call.cut()
        self.calls.clear()
        connection = self.client.connection
        if connection is not None:
            self.node.hub.detach(self.client, connection)


async def _let_run() -> None:
    for _ in range(12):
        await asyncio.sleep(0)


_STEPS = st.one_of(
    st.tuples(st.just("receive"), st.sampled_from(_TRANSPORTS), st.sampled_from([0.0, 0.3, 0.7, 1.0])),
    st.tuples(st.just("send"), st.integers(1, 5), st.none()),
    st.tuples(st.just("burst"), st.just(260), st.none()),
    st.tuples(st.just("drop"), st.none(), st.none()),
    st.tuples(st.just("stale"), st.sampled_from(_TRANSPORTS), st.sampled_from([0.0, 1.0])),
    st.tuples(st.just("time"), st.sampled_from([0.1, 3.0]), st.none()),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_STEPS, max_size=14))
async def test_no_switch_of_transports_makes_a_hole(steps: list[tuple[str, Any, Any]]) -> None:
    node = Node(limits__frame_burst=100000)
    sender, first = await node.enter(rooms=["r"]), await node.enter(rooms=["r"])
    receiver = Receiver(node, first.welcome)
    sent, sent_at_reset = 0, 0
    for verb, what, share in [*steps, ("receive", "poll", 1.0)]:
        resets = receiver.resets
        if verb == "receive":
            await receiver.receive(what, share)
        elif verb == "stale":
            await receiver.receive(what, share, after="aaaaaaaa.7")
        elif verb in ("send", "burst"):
            for _ in range(what):
                await _send(sender, sent)
                sent += 1
        elif verb == "drop":
            await receiver.drop()
        else:
            await node.pass_time(what)
        if receiver.resets > resets:
            sent_at_reset = sent
    assert receiver.seen == list(range(sent_at_reset, sent)), "all that was sent since it last began anew"
    await receiver.drop()
    await node.hub.close()


async def _send(sender: Seat, number: int) -> None:
    await sender.say("message", room="r", to="*", data=number)


async def test_two_resumes_with_nothing_between_on_every_pair_of_transports() -> None:
    for one in _TRANSPORTS:
        for other in _TRANSPORTS:
            node = Node()
            sender, first = await node.enter(rooms=["r"]), await node.enter(rooms=["r"])
            receiver = Receiver(node, first.welcome)
            await receiver.receive(one, 0.0)
            await receiver.receive(other, 0.0)
            await _send(sender, 0)
            await receiver.receive("poll", 1.0)
            assert (receiver.seen, receiver.resets) == ([0], 0)
            await receiver.drop()
            await node.hub.close()
