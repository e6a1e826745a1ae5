"""A client straight on a wire: what waits for whom, and for how long."""

import asyncio
import json
from typing import Any

import pytest
from websockets.frames import Frame, Opcode

from signal_api.clients import Visitor
from signal_api.protocol.messages import PING, server_frame
from signal_api.protocol.refusals import CloseCode
from signal_api.protocol.sessions import Entry
from signal_api.transports.direct import Direct
from signal_api.transports.wire import Framing
from tests.signal_api.socketless import Node, line_of
from tests.signal_api.transports.test_wire import Line
from tests.signal_api.worlds import JOIN_KEY
from tests.waiting import eventually


class Desk:
    """A client of a node, on a wire whose transport is a list."""

    def __init__(self, node: Node) -> None:
        visitor = Visitor(b"s", "signal.example", is_local=False)
        self.node = node
        self.direct = Direct(node.hub, node.dispatch, Framing(65536), visitor)
        self.line = Line()
        self.direct.wire.succeed(self.line, set())

    def say(self, kind: str, **fields: Any) -> None:
        self.bring(line_of(kind, **fields))

    def bring(self, *texts: bytes) -> None:
        """In one parcel."""
        frames = (Frame(Opcode.TEXT, text).serialize(mask=True) for text in texts)
        self.direct.wire.data_received(b"".join(frames))

    def heard(self) -> list[dict[str, Any]]:
        """Texts since the last call; a close is {"close": code}."""
        written, self.line.written = self.line.written, b""
        found = []
        while written:
            length, start = written[1], 2
            if length == 126:
                length, start = int.from_bytes(written[2:4]), 4
            body, written = written[start : start + length], written[start + length :]
            found.append(json.loads(body) if body.startswith(b"{") else {"close": int.from_bytes(body[:2])})
        return found

    def types(self) -> list[str]:
        return [frame["type"] for frame in self.heard()]


async def _entered(node: Node) -> Desk:
    desk = Desk(node)
    desk.say("hello", data={"v": 1, "token": JOIN_KEY, "rooms": ["r"]})
    await eventually(lambda: desk.direct._task is None)
    assert desk.types() == ["welcome", "joined"]
    return desk


async def test_what_needs_no_waiting_is_answered_before_the_next_is_read() -> None:
    desk = await _entered(Node())
    desk.bring(line_of("ping"), line_of("ping", id="p"))
    assert desk.heard() == [{"type": "pong"}, {"type": "pong", "re": "p"}]


async def test_who_sends_too_much_that_is_no_message_is_told_so() -> None:
    desk = await _entered(Node())
    desk.direct.wire.data_received(Frame(Opcode.PING, b"").serialize(mask=True) * 200)
    assert desk.line.written.endswith(b"too many frames that are no messages")
    assert desk.node.instruments.closes["4103",] == 1
    assert not desk.line.is_closed, "it may answer"
    deaf = await _entered(Node())
    deaf.direct.wire.pause_writing()
    deaf.direct.wire.data_received(Frame(Opcode.PING, b"").serialize(mask=True) * 200)
    assert deaf.line.was_aborted


async def test_what_comes_while_something_is_waited_for_waits_behind_it() -> None:
    desk = Desk(Node())
    hello = line_of("hello", data={"v": 1, "token": JOIN_KEY})
    frames = (line_of("ping", id="1"), line_of("join", room="q", id="2"), line_of("ping", id="3"))
    desk.bring(hello)
    assert desk.line.reads, "or its end would not be seen"
    desk.bring(*frames)
    assert not desk.line.reads
    desk.say("ping", id="4")
    assert desk.heard() == []
    await eventually(lambda: desk.line.reads)
    answers = [(frame["type"], frame.get("re")) for frame in desk.heard()]
    assert answers == [("welcome", None), ("pong", "1"), ("joined", "2"), ("pong", "3"), ("pong", "4")]


async def test_who_does_not_read_is_kept_for_a_while_and_reads_all_of_it_in_order() -> None:
    desk = await _entered(Node())
    wire, numbers = desk.direct.wire, [server_frame("message", b"%d" % number) for number in range(5)]
    wire.pause_writing()
    desk.direct.send(numbers[3])
    desk.direct.catch_up(numbers[0], [Entry(1, numbers[1]), Entry(2, numbers[2])])
    desk.direct.send(numbers[4])
    assert desk.heard() == []
    wire.resume_writing()
    assert [frame["data"] for frame in desk.heard()] == [0, 1, 2, 3, 4]
    desk.direct.catch_up(numbers[0], [Entry(1, numbers[1])])
    assert [frame["data"] for frame in desk.heard()] == [0, 1]


async def test_writing_stops_again_where_the_transport_is_full_again() -> None:
    desk = await _entered(Node())
    desk.direct.wire.pause_writing()
    for _ in range(3):
        desk.direct.send(PING)
    write = desk.line.write

    def fill(data: bytes | bytearray | memoryview) -> None:
        write(data)
        desk.direct.wire.pause_writing()

    desk.line.write = fill  # type: ignore[method-assign]  # a transport whose buffer holds one frame
    for left in (2, 1, 0):
        desk.direct.wire.resume_writing()
        assert desk.types() == ["ping"], left
    desk.direct.wire.resume_writing()
    assert desk.types() == []


async def test_who_reads_too_slowly_is_told_when_it_reads_again() -> None:
    desk = await _entered(Node(limits__queue_frames=2))
    desk.direct.wire.pause_writing()
    for _ in range(3):
        assert not desk.direct.is_closing
        desk.direct.send(PING)
    assert desk.direct.is_closing
    assert not desk.line.reads, "nothing that it says is heard until it reads"
    assert desk.node.instruments.closes["4104",] == 1
    desk.direct.send(PING)
    assert desk.heard() == []
    desk.direct.wire.resume_writing()
    assert desk.heard() == [{"close": CloseCode.SLOW_CONSUMER}]
    assert desk.line.reads, "it may answer"


async def test_who_reads_too_slowly_while_it_is_waited_for_is_not_heard_either() -> None:
    desk = await _entered(Node(limits__queue_frames=1))
    desk.bring(line_of("join", room="q", id="2"), line_of("ping"))
    assert not desk.line.reads
    desk.direct.wire.pause_writing()
    for _ in range(2):
        desk.direct.send(PING)
    await eventually(lambda: desk.direct._task is None)
    assert not desk.line.reads
    desk.direct.wire.resume_writing()
    assert desk.line.reads


async def test_who_takes_no_close_is_given_up() -> None:
    node = Node()
    desk = await _entered(node)
    desk.direct.close(CloseCode.DRAIN)
    desk.direct.close(CloseCode.REPLACED)
    assert desk.heard() == [{"close": CloseCode.DRAIN}]
    await node.pass_time(9.9)
    assert not desk.line.was_aborted
    await node.pass_time(0.1)
    assert desk.line.was_aborted


async def test_what_was_asked_for_is_done_although_the_client_is_gone() -> None:
    node = Node()
    desk, other = await _entered(node), await _entered(node)
    (client, _) = node.hub.roster
    async with client.turn:
        desk.say("message", room="r", to="*", id="m")
        desk.direct.wire.connection_lost(None)
        assert client.connection is desk.direct
    await eventually(lambda: client.connection is None)
    assert other.types() == ["message"]


async def test_who_is_given_up_is_waited_for_no_longer() -> None:
    node = Node()
    desk = await _entered(node)
    (client,) = node.hub.roster
    async with client.turn:
        desk.say("ping")
        await asyncio.sleep(0)  # From here on it is waited for.
        desk.direct.close(CloseCode.DRAIN)
        await node.pass_time(10)
        desk.direct.wire.connection_lost(None)
        await eventually(lambda: client.connection is None)


@pytest.mark.logs_error("a connection failed")
@pytest.mark.parametrize("waits", [False, True])
async def test_a_bug_ends_the_connection(waits: bool) -> None:
    node = Node()
    desk = await _entered(node)
    (client,) = node.hub.roster
    del node.instruments.frames["ping",]  # A counter that was never declared is a bug of ours.
    if waits:
        await _behind(client.turn, desk)
    else:
        desk.say("ping")
    await eventually(lambda: desk.direct.is_closing)
    assert desk.heard() == [{"close": CloseCode.INTERNAL_ERROR}]
    assert client.connection is None


async def _behind(turn: asyncio.Lock, desk: Desk) -> None:
    async with turn:
        desk.say("ping")


async def test_binary_is_refused() -> None:
    desk = await _entered(Node())
    desk.direct.wire.data_received(Frame(Opcode.BINARY, b"{}").serialize(mask=True))
    assert desk.heard() == [{"close": CloseCode.BAD_REQUEST}]


@pytest.mark.parametrize("is_lost", [False, True])
async def test_who_ends_before_its_welcome_is_not_welcomed(is_lost: bool) -> None:
    node = Node()
    living = Desk(node)
    living.say("hello", data={"v": 1, "token": JOIN_KEY})
    await eventually(lambda: living.direct._task is None)
    (welcome,) = living.heard()
    (client,) = node.hub.roster
    key = {"sid": client.sid, "key": welcome["data"]["key"], "after": 1}
    hello = Frame(Opcode.TEXT, line_of("hello", data={"v": 1, "resume": key})).serialize(mask=True)
    late = Desk(node)
    if is_lost:
        late.direct.wire.data_received(hello)
        late.line.close()
        late.direct.wire.connection_lost(None)
    else:
        late.direct.wire.data_received(hello + Frame(Opcode.PING, b"").serialize(mask=True) * 130)
    await eventually(lambda: late.direct._task is None)
    assert b"welcome" not in late.line.written
    assert client.connection is living.direct
    assert living.heard() == []


async def test_nothing_follows_a_close() -> None:
    desk = await _entered(Node())
    desk.direct.close(CloseCode.DRAIN)
    desk.direct.catch_up(PING, [Entry(1, PING)])
    assert desk.heard() == [{"close": CloseCode.DRAIN}]
