"""Frames between members: who may say what to whom, in what order, and once."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_api.clients import Client
from signal_api.engine.contract import Stored
from signal_api.engine.memory import MemoryEngine
from signal_api.protocol.refusals import CloseCode, Closing, EngineUnavailableError
from tests.signal_api.socketless import Line, Node, Seat
from tests.signal_api.worlds import token


class Pair:
    """Two members of room r, who have read everything."""

    def __init__(self, node: Node, a: Seat, b: Seat, ids: tuple[str, str]) -> None:
        self.node = node
        self.a, self.b = a, b
        self.id_a, self.id_b = ids


async def _pair(node: Node, **hello: Any) -> Pair:
    a, b = await node.enter(**hello), await node.enter(**hello)
    ids = ((await a.join("r"))["self"]["id"], (await b.join("r"))["self"]["id"])
    await node.pass_time(0.05)
    a.news()
    return Pair(node, a, b, ids)


def _code(seat: Seat) -> str:
    (error,) = seat.news()
    assert error["type"] == "error"
    code: str = error["data"]["code"]
    return code


@pytest.mark.parametrize("kind", ["offer", "answer", "candidate", "candidates", "restart", "bye", "message", "x.game"])
async def test_a_frame_to_a_member_arrives_from_whom_the_server_knows(kind: str) -> None:
    pair = await _pair(Node())
    data = {"candidate": "", "sdpMid": None}
    await pair.a.say(kind, id="c1", room="r", to=pair.id_b, data=data, **{"from": "m_liar", "seq": 99, "ts": 1})
    (frame,) = pair.b.news()
    assert frame == {
        "type": kind,
        "seq": 3,
        "room": "r",
        "from": pair.id_a,
        "ts": round(pair.node.clock.now().wall * 1000),
        "data": data,
    }
    assert pair.a.news() == [{"type": "ok", "re": "c1"}]


async def test_without_an_id_there_is_no_reply() -> None:
    pair = await _pair(Node())
    await pair.a.say("candidate", room="r", to=pair.id_b, data=None)
    assert pair.a.news() == []
    assert pair.b.news()[0]["data"] is None


async def test_broadcast_list_and_user() -> None:
    node = Node()
    seats = [await node.enter(token=token(node.clock, user)) for user in ("ann", "bob", "bob")]
    ids = [(await seat.join("r"))["self"]["id"] for seat in seats]
    await node.pass_time(1)
    for to, expected in (
        ("*", [0, 1, 1]),
        ([ids[2]], [0, 0, 1]),
        (ids[1:], [0, 1, 1]),
        ({"user": "bob"}, [0, 1, 1]),
    ):
        for seat in seats:
            seat.news()
        await seats[0].say("message", room="r", to=to, data=1)
        assert [len(seat.news()) for seat in seats] == expected, to


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"type": "message", "room": "other", "to": "*"}, "room_not_found"),
        ({"type": "message", "to": "*"}, "room_not_found"),
        ({"type": "message", "room": "r"}, "bad_request"),
        ({"type": "message", "room": "r", "to": "m_nobody"}, "peer_not_found"),
        ({"type": "message", "room": "r", "to": {"user": "nobody"}}, "peer_not_found"),
        ({"type": "offer", "room": "r", "to": "*"}, "bad_request"),
        ({"type": "offer", "room": "r"}, "bad_request"),
        ({"type": "offer", "room": "r", "to": {"user": "bob"}}, "bad_request"),
        ({"type": "publish", "room": "r", "to": "*"}, "unsupported"),
        ({"type": "member.joined", "room": "r", "to": "*"}, "unsupported"),
        ({"type": "welcome"}, "unsupported"),
        ({"type": "hello", "data": {"v": 1}}, "bad_request"),
        ({"type": "join"}, "bad_request"),
        ({"type": "join", "data": {"room": 7}}, "bad_request"),
        ({"type": "leave"}, "bad_request"),
        ({"type": "leave", "data": []}, "bad_request"),
        ({"type": "token", "data": {}}, "bad_request"),
        ({"type": "token", "data": {"token": "forged"}}, "unauthorized"),
        ({"type": "Message"}, "bad_frame"),
    ],
)
async def test_what_is_refused_and_why(frame: dict[str, Any], code: str) -> None:
    pair = await _pair(Node())
    assert await pair.node.dispatch.receive(pair.a.client, json.dumps(frame).encode()) is None
    assert _code(pair.a) == code
    assert pair.b.news() == []


async def test_a_token_may_allow_only_private_frames() -> None:
    node = Node()
    pair = await _pair(node, token=token(node.clock, can=["join", "create", "private"]))
    await pair.a.say("message", room="r", to="*")
    assert _code(pair.a) == "forbidden"
    await pair.a.say("message", room="r", to=pair.id_b)
    assert pair.b.types() == ["message"]


async def test_a_token_may_allow_only_calls() -> None:
    node = Node()
    pair = await _pair(node, token=token(node.clock, can=["join", "create"]))
    await pair.a.say("message", room="r", to=pair.id_b)
    assert _code(pair.a) == "forbidden"
    await pair.a.say("offer", room="r", to=pair.id_b)
    assert pair.b.types() == ["offer"]


async def test_a_frame_that_comes_again_has_one_effect_and_the_same_reply() -> None:
    pair = await _pair(Node())
    for _ in range(3):
        await pair.a.say("message", id="c1", room="r", to="*", data="once")
    assert len(pair.b.news()) == 1
    assert pair.a.news() == [{"type": "ok", "re": "c1"}] * 3
    for _ in range(2):
        await pair.a.say("message", id="c2", room="r", to="m_nobody")
    assert [frame["data"]["code"] for frame in pair.a.news()] == ["peer_not_found"] * 2


async def test_a_join_that_comes_again_is_answered_with_ok() -> None:
    node = Node()
    seat = await node.enter()
    seat.news()
    for _ in range(2):
        await seat.say("join", id="j", room="r")
    assert [(frame["type"], frame["re"]) for frame in seat.news()] == [("joined", "j"), ("ok", "j")]
    assert node.engine.census().members == 1


async def test_what_may_succeed_later_is_not_remembered_as_refused() -> None:
    node = Node(limits__members_per_room=2)
    pair = await _pair(node)
    late = await node.enter()
    await late.say("join", id="j", room="r")
    assert late.news()[-1]["data"]["code"] == "room_full"
    await pair.a.say("leave", room="r")
    await late.say("join", id="j", room="r")
    assert late.types() == ["joined"]


async def test_numbers_of_a_session_have_no_gaps_whoever_sends() -> None:
    node = Node()
    reader = await node.enter(rooms=["r", "q"])
    writers = [await node.enter(rooms=["r", "q"]) for _ in range(3)]
    for number in range(20):
        await writers[number % 3].say("message", room="rq"[number % 2], to="*", data=number)
    await node.pass_time(1)
    frames = reader.news()
    assert [frame["seq"] for frame in frames if "seq" in frame] == list(range(1, len(frames) + 1))
    assert [frame["data"] for frame in frames if frame["type"] == "message"] == list(range(20))


async def test_ack_trims_the_log() -> None:
    pair = await _pair(Node())
    await pair.b.say("message", room="r", to="*", data=1, ack=2)
    resume = {"sid": pair.b.client.sid, "key": pair.b.welcome["key"], "after": f"{pair.b.welcome['epoch']}.1"}
    back = await pair.node.enter(resume=resume)
    assert not back.welcome["resumed"]
    assert back.welcome["reason"] == "gap"


async def test_above_the_rate_frames_are_dropped_and_then_the_connection() -> None:
    node = Node(limits__frame_burst=5)
    pair = await _pair(node)
    endings = [await pair.a.say("message", room="r", to="*", data=1) for _ in range(12)]
    delivered = len(pair.b.news())
    assert delivered == 5
    assert all(frame["data"]["code"] == "rate_limited" for frame in pair.a.news())
    assert node.instruments.rate_limited["frames",] == 12 - delivered
    closing = endings[-1]
    assert isinstance(closing, Closing)
    assert closing.code is CloseCode.RATE_LIMITED


async def test_above_the_rate_it_says_when_to_come_again() -> None:
    node = Node(limits__frame_burst=5)
    pair = await _pair(node)
    for _ in range(6):
        await pair.a.say("message", room="r", to="*")
    pair.b.news()
    (error,) = pair.a.news()
    assert error["data"]["retry_after_ms"] == pytest.approx(20, abs=20)
    await node.pass_time(1)
    await pair.a.say("message", room="r", to="*")
    assert pair.b.types() == ["message"]


async def test_what_is_refused_unread_is_refused_by_its_id() -> None:
    node = Node(limits__frame_burst=3)
    seat = await node.enter()
    seat.news()
    for frame in (b'{"type":"BAD","id":"a"}', b'{"type":"x.a","id":7}', b'{"type":"ping","id":"c"}'):
        await node.dispatch.receive(seat.client, frame)
    for frame in (b'{"type":"join","room":"r","id":"d"}', b'{"id":"\xff"}', b"[" * 50000):
        assert not isinstance(await node.dispatch.receive(seat.client, frame), Closing)
    assert [(frame["type"], frame.get("re"), frame.get("data", {}).get("code")) for frame in seat.news()] == [
        ("error", "a", "bad_frame"),
        ("error", None, "bad_frame"),
        ("pong", "c", None),
        ("error", "d", "rate_limited"),
        *[("error", None, "rate_limited")] * 2,
    ]


@pytest.mark.parametrize(
    ("frame", "close"),
    [
        ("[", CloseCode.BAD_REQUEST),
        ('{"type":"a","data":' + "[" * 40 + "]" * 40 + "}", CloseCode.BAD_REQUEST),
        ('{"type":"a","data":"' + "x" * 70000 + '"}', CloseCode.FRAME_TOO_LARGE),
    ],
)
async def test_what_is_no_frame_ends_the_connection(frame: str, close: CloseCode) -> None:
    node = Node()
    seat = await node.enter()
    closing = await node.dispatch.receive(seat.client, frame.encode())
    assert isinstance(closing, Closing)
    assert closing.code is close


@pytest.mark.parametrize(
    "frame", ["", "{}", '{"type":"join","data":{}}', '{"type":"hello"}', '{"type":"hello","data":{"v":"1"}}']
)
def test_the_first_frame_is_hello(frame: str) -> None:
    closing = Node().dispatch.greet(frame.encode())
    assert isinstance(closing, Closing)
    assert closing.code is CloseCode.BAD_REQUEST


async def test_a_token_is_renewed_inside_the_session() -> None:
    node = Node()
    seat = await node.enter(token=token(node.clock, "ann", lifetime=5, rooms=["r"]))
    fresh = token(node.clock, "ann", lifetime=60, rooms=["q"])
    await seat.say("token", id="t", data={"token": fresh})
    await seat.say("token", data={"token": token(node.clock, "eve")})
    await seat.say("token", data={"token": token(node.clock, "ann", lifetime=-1)})
    replies = seat.news()[1:]
    assert replies[0] == {"type": "ok", "re": "t"}
    assert [reply["data"]["code"] for reply in replies[1:]] == ["unauthorized", "token_expired"]
    await node.pass_time(10)
    assert seat.line.closed is None
    await seat.join("q")


async def test_ping_is_answered() -> None:
    node = Node()
    seat = await node.enter()
    await seat.say("ping")
    await seat.say("ping", id="p")
    await seat.say("pong")
    assert seat.news()[1:] == [{"type": "pong"}, {"type": "pong", "re": "p"}]


class BrokenEngine(MemoryEngine):
    """A store that went away: the world, not our code."""

    async def load(self, name: str) -> Stored:
        raise EngineUnavailableError("the store does not answer")


async def test_without_its_store_a_node_says_so_and_goes_on() -> None:
    node = Node()
    broken = Node()
    broken.engine = BrokenEngine(broken.clock)
    broken.dispatch = type(node.dispatch)(broken.hub, broken.engine)
    seat = await broken.enter(rooms=["r"])
    await seat.say("join", id="j", room="q")
    errors = [frame["data"] for frame in seat.news() if frame["type"] == "error"]
    assert [(error["code"], error["retryable"], error["retry_after_ms"]) for error in errors] == [
        ("engine_unavailable", True, 1000)
    ] * 2


_STEP = st.tuples(st.integers(0, 5), st.sampled_from(["join", "leave", "say", "tell"]), st.sampled_from("xyz"))


@given(st.lists(_STEP, max_size=60))
async def test_nothing_leaves_its_room(steps: list[tuple[int, str, str]]) -> None:
    """Every payload carries the room that it was sent in; whoever receives it is a member of that room."""
    node = Node(limits__frame_burst=1000)
    seats = [await node.enter() for _ in range(6)]
    members: dict[str, dict[int, str]] = {"x": {}, "y": {}, "z": {}}
    for who, verb, room in steps:
        seat, inside = seats[who], members[room]
        if verb == "join" and who not in inside:
            inside[who] = (await seat.join(room))["self"]["id"]
        elif verb == "leave" and who in inside:
            await seat.say("leave", room=room)
            del inside[who]
        elif verb in ("say", "tell"):
            everybody = [name for them in members.values() for name in them.values()]
            to: Any = "*" if verb == "say" else (everybody or ["m_nobody"])[:1]
            await seat.say("message", room=room, to=to, data={"room": room})
        for index, other in enumerate(seats):
            for frame in other.news():
                if frame["type"] == "message":
                    assert frame["room"] == frame["data"]["room"] == room
                    assert index in inside
                    assert frame["from"] == inside[who]


async def test_a_line_alone_is_no_client() -> None:
    node = Node()
    entered = node.try_to_enter(Line(), token="wrong")
    assert not isinstance(entered, Client)
    assert entered.code is CloseCode.UNAUTHORIZED
