"""The envelope: what is a frame, what is none, and that `data` leaves as it came."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_api.protocol.messages import (
    MAX_DEPTH,
    MAX_FRAME,
    InvalidFrameError,
    MalformedFrameError,
    ToUser,
    decode,
    error_frame,
    nesting,
    server_frame,
)
from signal_api.protocol.refusals import CloseCode, ErrorCode, Refusal

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


@given(JSON, st.booleans(), st.sampled_from([None, 1]))
def test_data_leaves_byte_for_byte_as_it_came(value: Any, escaped: bool, indent: int | None) -> None:
    data = json.dumps(value, ensure_ascii=escaped, indent=indent)
    frame = decode(f'{{"type":"message","data":{data}}}'.encode())
    assert bytes(frame.data) == data.replace("\n", " ").encode()
    sent = server_frame("message", bytes(frame.data), room="r", sender="m_1", ts=7).encode(42)
    assert json.loads(sent) == {"type": "message", "seq": 42, "room": "r", "from": "m_1", "ts": 7, "data": value}
    assert b"\n" not in sent


@given(JSON)
def test_nesting_counts_brackets_and_not_those_in_strings(value: Any) -> None:
    assert nesting(json.dumps(value).encode()) == _depth(value)


def test_the_envelope_of_the_protocol_page() -> None:
    frame = decode(b'{"type":"offer","id":"c17","room":"r1","to":"m_7f","from":"liar","data":{"sdp":"v=0"},"ack":41}')
    assert (frame.type, frame.id, frame.room, frame.to, frame.ack) == ("offer", "c17", "r1", "m_7f", 41)
    assert bytes(frame.data) == b'{"sdp":"v=0"}'
    assert not hasattr(frame, "from")


@pytest.mark.parametrize(
    ("to", "expected"),
    [('"*"', "*"), ('["m_1","m_2"]', ["m_1", "m_2"]), ('{"user":"u1"}', ToUser("u1")), ("null", None)],
)
def test_the_forms_of_to(to: str, expected: object) -> None:
    assert decode(f'{{"type":"message","to":{to}}}'.encode()).to == expected


def test_line_breaks_between_tokens_become_spaces_and_those_in_strings_stay_escaped() -> None:
    frame = decode(b'{"type":"message",\r\n"data":{"a":\n"x\\ny"}}')
    assert bytes(frame.data) == b'{"a": "x\\ny"}'


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"null",
        b'"offer"',
        b'{"type":"a"} x',
        b'{"type":"a"}{"type":"b"}',
        b'{"type":"a","data":[1,2,,3]}',
        b'{"type":"a","data":"line\nbreak"}',
        b'{"type":"a","data":"\x00"}',
        b'{"type":"a","data":"\xff"}',
        b'{"type":"a","data":{"k":"\xc0\xaf"}}',
        b'{"type":"a","data":"\xed\xa0\x80"}',
        b"\xef\xbb\xbf{}",
        b'{"type":"a","data":NaN}',
    ],
)
def test_what_is_no_json_object_ends_the_connection(text: bytes) -> None:
    with pytest.raises(MalformedFrameError) as caught:
        decode(text)
    assert caught.value.close is CloseCode.BAD_REQUEST


@pytest.mark.parametrize(
    "text",
    [
        b"{}",
        b'{"type":5}',
        b'{"type":""}',
        b'{"type":"Offer"}',
        b'{"type":"offer\\n"}',
        b'{"type":"9a"}',
        b'{"type":"%s"}' % (b"a" * 33),
        b'{"type":"a","id":"%s"}' % (b"i" * 65),
        b'{"type":"a","id":7}',
        b'{"type":"a","to":[]}',
        b'{"type":"a","to":[%s]}' % b",".join([b'"m"'] * 17),
        b'{"type":"a","to":{"user":"u","room":"r"}}',
        b'{"type":"a","ack":-1}',
        b'{"type":"a","room":""}',
        b'{"type":"a","room":"%s"}' % (b"r" * 129),
    ],
)
def test_an_envelope_that_breaks_a_rule_is_refused_alone(text: bytes) -> None:
    with pytest.raises(InvalidFrameError):
        decode(text)


def test_the_longest_frame_and_one_byte_more() -> None:
    shell = b'{"type":"a","data":"%s"}'
    longest = shell % (b"x" * (MAX_FRAME - len(shell) + 2))
    assert len(longest) == MAX_FRAME
    decode(longest)
    with pytest.raises(MalformedFrameError) as caught:
        decode(longest.replace(b"x", b"xx", 1))
    assert caught.value.close is CloseCode.FRAME_TOO_LARGE
    assert decode(shell % "ä".encode() * 1).type == "a"


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_the_deepest_frame_and_one_level_more(opening: bytes, closing: bytes) -> None:
    def nested(levels: int) -> bytes:
        return b'{"type":"a","data":%b1%b}' % (opening * levels, closing * levels)

    decode(nested(MAX_DEPTH - 1))
    for levels in (MAX_DEPTH, 5000, 10000):
        with pytest.raises(MalformedFrameError, match="deep"):
            decode(nested(levels))


def test_many_brackets_that_do_not_nest_are_fine() -> None:
    decode(b'{"type":"a","data":[%b]}' % b",".join([b"[]", b'"[[[["'] * 2000))


def test_an_error_says_what_and_when_to_come_again() -> None:
    refusal = Refusal(ErrorCode.RATE_LIMITED, "slower", retry_after=1.5)
    assert json.loads(error_frame(refusal, "c1").encode(None)) == {
        "type": "error",
        "re": "c1",
        "data": {"code": "rate_limited", "message": "slower", "retryable": True, "retry_after_ms": 1500},
    }
    final = json.loads(error_frame(Refusal(ErrorCode.FORBIDDEN, "no")).encode(None))
    assert final["data"] == {"code": "forbidden", "message": "no", "retryable": False}
    assert "re" not in final


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (r"\ud83e", r"\ufffd"),
        (r"\uDD8A!", r"\ufffd!"),
        (r"\ud83e\udd8a \ud83e", r"\ud83e\udd8a \ufffd"),
        (r"\ud83e\ud83e\udd8a\udd8a", r"\ufffd\ud83e\udd8a\ufffd"),
        (r"\\ud83e \\\ud83e \n\u0041", r"\\ud83e \\\ufffd \n\u0041"),
    ],
)
def test_half_a_character_is_no_reason_to_hang_up(said: str, told: str) -> None:
    """Of a text that a page has cut, its browser sends what is left of the last emoji."""
    assert bytes(decode(f'{{"type":"message","data":"{said}"}}'.encode()).data) == f'"{told}"'.encode()


@pytest.mark.parametrize("text", [r"\ud83e" * 10000, r"\ud8", r"\ud8\"}", r"\ud83ezz", r"\ud83e\x", "\\" * 32768])
def test_what_is_broken_beyond_that_is_refused_and_in_no_time(text: str) -> None:
    with pytest.raises(MalformedFrameError):
        decode(f'{{"type":"message","data":"{text}"'.encode())
