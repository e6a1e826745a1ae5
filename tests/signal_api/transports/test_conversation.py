"""hello, then frames, and the end: on a connection that is a list."""

import asyncio
from collections.abc import Callable

from signal_api.clients import Visitor
from signal_api.protocol.refusals import CloseCode, Closing
from signal_api.transports.conversation import NO_BINARY, Conversation
from signal_api.turnstile import A_TURN, Turnstile
from tests.signal_api.socketless import Line, Node, line_of
from tests.signal_api.worlds import JOIN_KEY
from tests.waiting import eventually

HELLO = line_of("hello", data={"v": 1, "token": JOIN_KEY, "rooms": ["r"]})


class Phone(Line):
    """A connection that says why it ends."""

    def __init__(self) -> None:
        super().__init__()
        self.reason = ""

    @property
    def is_closing(self) -> bool:
        return self.closed is not None

    def close(self, code: CloseCode, reason: str = "") -> None:
        super().close(code)
        self.reason = self.reason or reason

    def hold(self) -> None:
        """It is written at once."""


def _call(node: Node) -> tuple[Phone, Conversation]:
    phone = Phone()
    return phone, Conversation(node.hub, node.dispatch, phone, Visitor(b"s", "signal.example", is_local=False))


async def _hear(talk: Conversation, frame: bytes | Closing) -> bool:
    """Whether there was something to wait for."""
    rest = talk.hear(frame)
    if rest is not None:
        await rest
    return rest is not None


async def test_hello_and_rooms_are_waited_for_and_what_needs_no_waiting_is_not() -> None:
    node = Node()
    phone, talk = _call(node)
    assert await _hear(talk, HELLO)
    assert [frame["type"] for frame in phone.frames] == ["welcome", "joined"]
    assert await _hear(talk, line_of("leave", room="r", id="l"))
    for kind in ("ping", "message", "x.game", "unheard.of"):
        assert not await _hear(talk, line_of(kind, id=kind))
    assert [frame["re"] for frame in phone.frames[2:]] == ["l", "ping", "message", "x.game", "unheard.of"]


async def test_a_turn_that_is_taken_is_waited_for() -> None:
    node = Node()
    phone, talk = _call(node)
    await _hear(talk, HELLO)
    (client,) = node.hub.roster
    async with client.turn:
        rest = talk.hear(line_of("ping", id="p"))
        assert rest is not None
        assert len(phone.frames) == 2
    await rest
    assert phone.frames[-1] == {"type": "pong", "re": "p"}


async def test_who_says_nothing_is_not_waited_for_and_who_was_heard_is() -> None:
    node = Node()
    (silent, _), (heard, talk), (gone, left) = _call(node), _call(node), _call(node)
    await _hear(talk, HELLO)
    left.end()
    await node.pass_time(10)
    assert (silent.closed, heard.closed, gone.closed) == (CloseCode.HELLO_TIMEOUT, None, None)


async def test_a_wrong_beginning_ends_it() -> None:
    for first in (NO_BINARY, line_of("ping"), line_of("hello", data={"v": 1, "token": "wrong"})):
        phone, talk = _call(Node())
        await _hear(talk, first)
        assert phone.closed in (CloseCode.BAD_REQUEST, CloseCode.UNAUTHORIZED)
        assert phone.reason
        assert not await _hear(talk, HELLO), "nothing is heard any more"
        assert phone.frames == []


async def test_its_end_leaves_the_session_to_wait() -> None:
    node = Node()
    for end in (NO_BINARY, b"{", None):
        phone, talk = _call(node)
        await _hear(talk, HELLO)
        client = node.hub.roster.get(phone.frames[0]["data"]["sid"])
        assert client is not None
        assert client.connection is phone
        if end is None:
            talk.end()
        else:
            await _hear(talk, end)
        talk.end()
        assert client.connection is None
        assert node.hub.roster.get(client.sid) is client


async def test_a_session_that_moved_is_told_so() -> None:
    node = Node()
    phone, talk = _call(node)
    await _hear(talk, HELLO)
    (client,) = node.hub.roster
    client.is_elsewhere = True
    await _hear(talk, line_of("ping"))
    assert phone.closed is CloseCode.REBALANCE


async def test_a_connection_that_ends_before_it_is_greeted_takes_no_session_from_another() -> None:
    node = Node()
    living, talk = _call(node)
    await _hear(talk, HELLO)
    (client,) = node.hub.roster
    key = {"sid": client.sid, "key": living.frames[0]["data"]["key"], "after": 2}
    late, again = _call(node)
    rest = again.hear(line_of("hello", data={"v": 1, "resume": key}))
    assert rest is not None
    late.close(CloseCode.RATE_LIMITED)
    await rest
    again.end()
    assert late.frames == []
    assert (client.connection, living.closed) == (living, None)


async def test_who_talks_goes_first() -> None:
    """Who says hello, and who joins, waits at the turnstile."""
    node = Node()
    (old, talk), (new, knock) = _call(node), _call(node)
    await _hear(talk, HELLO)
    turns: list[Callable[[], None]] = []
    turnstile = node.hub.turnstile = Turnstile(turns.append)
    for _ in range(A_TURN):
        turnstile.enter("a crowd", lambda: None)
    waiting = [asyncio.create_task(_hear(knock, HELLO))]
    waiting.append(asyncio.create_task(_hear(talk, line_of("join", room="s", id="j"))))
    await eventually(lambda: len(turnstile) == 2)
    assert len(old.frames) == 2
    assert not new.frames
    await node.pass_time(9.9)
    assert new.closed is None, "it has said hello in time"
    turns.pop()()
    await asyncio.gather(*waiting)
    assert [frame["type"] for frame in new.frames[:2]] == ["welcome", "joined"]
    assert "joined" in [frame["type"] for frame in old.frames[2:]]


async def test_who_waits_too_long_for_its_turn_comes_again_later() -> None:
    """Whether it is still there is not seen before it is let in, and then it would take a session from another."""
    node = Node()
    turns: list[Callable[[], None]] = []
    turnstile = node.hub.turnstile = Turnstile(turns.append)
    for _ in range(A_TURN):
        turnstile.enter("a crowd", lambda: None)
    phone, talk = _call(node)
    waiting = asyncio.create_task(_hear(talk, HELLO))
    await eventually(lambda: len(turnstile) == 1)
    await node.pass_time(10)
    assert (phone.closed, phone.reason) == (CloseCode.OVER_CAPACITY, "too many came at once")
    turns.pop()()
    await waiting
    talk.end()
    assert phone.frames == []
    assert not list(node.hub.roster)
