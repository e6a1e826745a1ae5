"""Sessions: numbers without gaps, a log with bounds, resume without holes."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signal_api.protocol.messages import ServerFrame, server_frame
from signal_api.protocol.sessions import (
    LOG_BYTES,
    LOG_FRAMES,
    REMEMBERED_FOR,
    REMEMBERED_IDS,
    Position,
    ResumeFailure,
    Session,
    new_epoch,
    new_session,
    parse_position,
)
from tests.signal_api.dice import dice

FRAME = server_frame("message", b"1")
ENTROPY = dice()


def _session(frames: int = 0) -> Session:
    session = new_session(ENTROPY).session
    for _ in range(frames):
        session.append(FRAME)
    return session


def _numbers(session: Session, after: int) -> list[int] | ResumeFailure:
    missed = session.since(Position(session.epoch, after))
    return missed if isinstance(missed, ResumeFailure) else [entry.seq for entry in missed]


def test_numbers_begin_with_one_and_have_no_gaps() -> None:
    session = _session()
    assert [session.append(FRAME).seq for _ in range(3)] == [1, 2, 3]
    assert json.loads(session.append(FRAME).encode())["seq"] == 4


def test_names_and_keys() -> None:
    session, key = new_session(ENTROPY)
    assert len(session.epoch) == 8
    assert session.holds(key)
    assert not session.holds(key[:-1])
    assert not session.holds("")
    assert key.encode() not in session.key_digest
    assert new_session(ENTROPY).session.sid != session.sid


def test_what_was_acknowledged_is_forgotten() -> None:
    session = _session(10)
    session.acknowledge(7)
    assert _numbers(session, 7) == [8, 9, 10]
    assert _numbers(session, 6) is ResumeFailure.GAP
    session.acknowledge(3)
    session.acknowledge(99)
    assert _numbers(session, 7) == [8, 9, 10]


def test_resume_before_and_behind_everything() -> None:
    session = _session(2)
    assert _numbers(session, 0) == [1, 2]
    assert _numbers(session, 2) == []
    assert _numbers(session, 3) is ResumeFailure.GAP
    assert _numbers(_session(), 0) == []


def test_the_log_keeps_so_many_frames() -> None:
    session = _session(LOG_FRAMES + 5)
    assert _numbers(session, 5) == list(range(6, LOG_FRAMES + 6))
    assert _numbers(session, 4) is ResumeFailure.GAP


def test_the_log_keeps_so_many_bytes() -> None:
    session = _session()
    big = ServerFrame(b"", b"x" * (LOG_BYTES // 4 + 1))
    for _ in range(6):
        session.append(big)
    missed = _numbers(session, 3)
    assert missed == [4, 5, 6]
    assert _numbers(session, 2) is ResumeFailure.GAP


def test_another_epoch_is_another_log() -> None:
    session = _session(3)
    assert session.since(Position("aaaaaaaa", 1)) is ResumeFailure.EPOCH
    old = session.epoch
    session.renew(new_epoch(ENTROPY))
    assert session.epoch != old
    assert session.append(FRAME).seq == 1
    assert session.since(Position(old, 1)) is ResumeFailure.EPOCH


def test_a_bare_number_means_the_first_log_alone() -> None:
    session = _session(3)
    missed = session.since(Position(None, 1))
    assert not isinstance(missed, ResumeFailure)
    assert [entry.seq for entry in missed] == [2, 3]
    session.renew(new_epoch(ENTROPY))
    session.append(FRAME)
    assert session.since(Position(None, 0)) is ResumeFailure.EPOCH


def test_event_ids() -> None:
    assert parse_position("abcdefgh.12") == Position("abcdefgh", 12)
    assert parse_position(12) == parse_position(12.0) == Position(None, 12)
    assert parse_position(12, "abcdefgh") == Position("abcdefgh", 12)
    for text in ("", "12", "abc.", "abc.x", "abc.-1", "abc.²", "a." + "9" * 17):
        with pytest.raises(ValueError, match="event id"):
            parse_position(text)


def test_replies_are_remembered_for_so_long_and_so_many() -> None:
    session = _session()
    reply = server_frame("ok")
    session.remember("c1", reply, now=0.0)
    assert session.remembered("c1", REMEMBERED_FOR - 1) is reply
    assert session.remembered("c2", 0.0) is None
    assert session.remembered("c1", REMEMBERED_FOR) is None
    for number in range(REMEMBERED_IDS + 1):
        session.remember(f"n{number}", reply, 200.0)
    assert session.remembered("n0", 200.0) is None
    assert session.remembered("n1", 200.0) is reply


def test_news_is_gathered_in_runs() -> None:
    session = _session()
    assert session.gather("member.joined", "r", 2, b'{"id":"m_1"}')
    assert not session.gather("member.joined", "r", 3, b'{"id":"m_2"}')
    session.gather("member.left", "r", 4, b'{"id":"m_1"}')
    session.gather("member.left", "q", 9, b'{"id":"m_9"}')
    frames = [json.loads(entry.encode()) for entry in session.flush()]
    assert [(f["seq"], f["type"], f["room"]) for f in frames] == [
        (1, "member.joined", "r"),
        (2, "member.left", "r"),
        (3, "member.left", "q"),
    ]
    assert frames[0]["data"] == {"room": "r", "rseq": 3, "members": [{"id": "m_1"}, {"id": "m_2"}]}
    assert session.flush() == []
    assert session.gather("member.joined", "r", 5, b"{}"), "a new flush is due"


@given(st.lists(st.one_of(st.just("append"), st.integers(0, 400)), max_size=600), st.integers(0, 700))
def test_a_replay_never_has_a_hole(steps: list[str | int], after: int) -> None:
    session = _session()
    for step in steps:
        if isinstance(step, int):
            session.acknowledge(step)
        else:
            session.append(FRAME)
    missed = _numbers(session, after)
    if not isinstance(missed, ResumeFailure):
        assert missed == list(range(after + 1, session.seq + 1))
