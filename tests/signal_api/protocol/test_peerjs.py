"""PeerJS's words in sig.v1 and back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_api.protocol import peerjs
from signal_api.protocol.messages import decode, server_frame


@pytest.mark.parametrize(
    ("word", "kind"), [("OFFER", "offer"), ("ANSWER", "answer"), ("CANDIDATE", "candidate"), ("LEAVE", "bye")]
)
def test_a_message_becomes_a_frame_and_a_message_again(word: str, kind: str) -> None:
    text = json.dumps({"type": word, "src": "forged", "dst": "bob", "payload": {"sdp": "v=0", "connectionId": "dc_1"}})
    message = peerjs.read(text.encode(), "peerjs:key")
    assert message is not None
    frame = decode(message.frame)
    assert (frame.type, frame.room, frame.to) == (kind, "peerjs:key", "bob")
    written = peerjs.write(server_frame(kind, bytes(frame.data), room="peerjs:key", sender="alice").encode(3), "bob")
    assert written is not None
    assert json.loads(written) == json.loads(text) | {"src": "alice"}


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text())))
def test_payloads_pass_to_the_byte(payload: dict[str, object]) -> None:
    body = json.dumps(payload).encode()
    message = peerjs.read(b'{"dst":"bob","payload":%b,"type":"OFFER"}' % body, "r")
    assert message is not None
    data = bytes(decode(message.frame).data)
    assert data == body
    written = peerjs.write(server_frame("offer", data, sender="a").encode(None), "b")
    assert written is not None
    assert written.endswith(b'"payload":%b}' % body)


def test_half_a_character_in_a_payload_loses_no_message() -> None:
    message = peerjs.read(rb'{"type":"OFFER","dst":"bob","payload":{"label":"\ud83e"}}', "r")
    assert message is not None
    assert bytes(decode(message.frame).data) == rb'{"label":"\ufffd"}'


@pytest.mark.parametrize(
    "text",
    [
        '{"type":"HEARTBEAT"}', '{"type":"OPEN"}', '{"type":"ID-TAKEN","dst":"bob"}', "garbage", "[]", "{}", '"OFFER"',
        '{"type":"OFFER","payload":{}}', '{"type":"OFFER","dst":"bob"}', '{"type":"OFFER","dst":"bob","payload":[]}',
        '{"type":"ANSWER","dst":7,"payload":{}}', '{"type":7}', '{"type":"EXPIRE"}',
    ],
)  # fmt: skip
def test_what_has_no_meaning(text: str) -> None:
    assert peerjs.read(text.encode(), "r") is None


def test_a_client_may_leave() -> None:
    message = peerjs.read(b'{"type":"LEAVE"}', "r")
    assert message is not None
    assert (message.dst, message.waits) == (None, False)


@pytest.mark.parametrize("kind", ["welcome", "member.joined", "member.left", "ok", "message", "x.a", "drain", "turn"])
def test_what_peerjs_has_no_word_for(kind: str) -> None:
    assert peerjs.write(server_frame(kind, b'{"a":1}').encode(1), "bob") is None


def test_what_the_server_says_itself() -> None:
    assert peerjs.write(server_frame("joined", room="r").encode(2), "bob") == b'{"type":"OPEN"}'
    assert json.loads(peerjs.expire("alice", "bob")) == {"type": "EXPIRE", "src": "alice", "dst": "bob"}
    assert json.loads(peerjs.complaint("ID-TAKEN", "no")) == {"type": "ID-TAKEN", "payload": {"msg": "no"}}


@pytest.mark.parametrize("text", ["a", "a b", "a-b_c d", "0", "x" * 64])
def test_ids(text: str) -> None:
    assert peerjs.is_id(text)


@pytest.mark.parametrize("text", ["", "*", " a", "a ", "a  b", "a/b", "-a", "ä", "a\n", "x" * 65])
def test_what_is_no_id(text: str) -> None:
    assert not peerjs.is_id(text)


@pytest.mark.parametrize(
    ("query", "approach"),
    [
        (b"key=k&id=a%20b&token=t&version=1.5.5", peerjs.Approach("k", "a b", "t")),
        (b"key=k&id=a b&token=t", peerjs.Approach("k", "a b", "t")),
        (b"key=k&id=a", None),
        (b"key=&id=a&token=t", None),
        (b"", None),
        (b"&".join(b"a=b" for _ in range(99)), None),
    ],
)
def test_the_query(query: bytes, approach: peerjs.Approach | None) -> None:
    assert peerjs.read_query(query) == approach


def test_an_owner_is_the_user_whatever_the_token() -> None:
    assert peerjs.owner("alice", "one") == peerjs.owner("alice", "two")
    assert peerjs.owner(None, "one") != peerjs.owner(None, "two")
    assert "secret" not in peerjs.owner(None, "secret")
    assert peerjs.owner("a", "t") != peerjs.owner(None, "a")


def test_what_waits_has_an_order_and_bounds() -> None:
    waiting = peerjs.Waiting()
    assert all(waiting.add("bob", bytes([number])) for number in range(peerjs.MOST_WAITING))
    assert not waiting.add("carol", b"x")
    assert "carol" not in waiting
    assert waiting.first("bob") == b"\x00"
    waiting.drop_first("bob")
    assert waiting.first("bob") == b"\x01"
    assert waiting.add("carol", b"x")
    waiting.drop("bob")
    assert "bob" not in waiting
    waiting.drop_first("carol")
    assert "carol" not in waiting
    waiting.drop_first("carol")
    assert waiting.first("carol") is None
    assert waiting.add("dave", bytes(peerjs.MOST_WAITING_BYTES))
    assert not waiting.add("dave", b"x")
