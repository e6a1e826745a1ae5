"""Frames in the body of a request, before anything is done with them."""

import pytest

from signal_api.protocol.refusals import ErrorCode, Refusal
from signal_api.transports.posting import MAX_FRAMES, read_frames


@pytest.mark.parametrize(
    ("body", "frames"),
    [
        (b' {"a":1}\n', [b'{"a":1}']),
        (b'[{"a":1} , {"b":[2]}]', [b'{"a":1}', b'{"b":[2]}']),
        (rb'[{"a":"\ud83e"},{}]', [rb'{"a":"\ufffd"}', b"{}"]),
        (b"[" + b",".join([b"{}"] * MAX_FRAMES) + b"]", [b"{}"] * MAX_FRAMES),
    ],
)
def test_frames_are_taken_as_they_stand(body: bytes, frames: list[bytes]) -> None:
    assert read_frames(body, 1024) == frames


@pytest.mark.parametrize("body", [b"", b"{", b"{}{}", b"[{}", b"[[]]", b"null", b'"\xff"', b"[" * 50000])
def test_what_holds_no_frames(body: bytes) -> None:
    refusal = read_frames(body, 1024)
    assert isinstance(refusal, Refusal)
    assert refusal.code is ErrorCode.BAD_REQUEST


def test_one_frame_too_large_among_others() -> None:
    refusal = read_frames(b'[{},{"data":"' + b"x" * 1024 + b'"}]', 1024)
    assert isinstance(refusal, Refusal)
    assert refusal.code is ErrorCode.FRAME_TOO_LARGE
