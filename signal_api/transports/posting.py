"""Frames that come by POST: one or several, handled in order, each with its result."""

import msgspec

from signal_api.clients import Client
from signal_api.node.dispatch import Dispatch
from signal_api.protocol.messages import MAX_DEPTH, Problem, ServerFrame, id_of, made_whole, nesting, to_json
from signal_api.protocol.refusals import Closing, ErrorCode, Refusal

#: frames that one request may bring
MAX_FRAMES = 32


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one frame; `re` is its id."""

    ok: bool
    re: str | None = None
    error: Problem | None = None


class Results(msgspec.Struct, frozen=True):
    """One for each frame, in the order of the frames."""

    results: list[Result]


class _Failure(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    data: Problem


_array = msgspec.json.Decoder(list[msgspec.Raw])
_failure = msgspec.json.Decoder(_Failure)


def read_frames(body: bytes, limit: int) -> list[bytes] | Refusal:
    """The frames of a request, as they stand; none is handled before all of them could be frames."""
    try:
        body.decode()
        text = body.strip(b" \t\r\n")
        frames = _listed(text) if text.startswith(b"[") else [bytes(msgspec.Raw(text))]
        if not all(frame.startswith(b"{") for frame in frames) or not 1 <= len(frames) <= MAX_FRAMES:
            return Refusal(ErrorCode.BAD_REQUEST, f"the body is a frame, or an array of 1 to {MAX_FRAMES} frames")
        if any(len(frame) > limit for frame in frames):
            return Refusal(ErrorCode.FRAME_TOO_LARGE, f"a frame holds at most {limit} bytes")
        if not text.startswith(b"["):
            msgspec.json.decode(made_whole(text), type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return Refusal(ErrorCode.BAD_REQUEST, f"the body is no JSON: {error}")
    if any(nesting(frame) > MAX_DEPTH for frame in frames):
        return Refusal(ErrorCode.BAD_REQUEST, f"a frame nests at most {MAX_DEPTH} levels deep")
    return frames


def _listed(text: bytes) -> list[bytes]:
    """The members of an array, which may hold halves of characters as frames may."""
    try:
        listed = _array.decode(text)
    except msgspec.DecodeError:
        listed = _array.decode(made_whole(text))
    return [bytes(raw) for raw in listed]


async def post(dispatch: Dispatch, client: Client, frames: list[bytes]) -> bytes | Closing:
    """Handles frames in order; a Closing when the client has to go."""
    results = []
    for frame in frames:
        answers: list[ServerFrame] = []
        closing = await dispatch.receive(client, frame, answers.append)
        if closing is not None:
            if client.connection is not None:
                client.connection.close(closing.code)
            return closing
        results.append(_result(frame, answers))
    return to_json(Results(results))


def _result(frame: bytes, answers: list[ServerFrame]) -> Result:
    re = id_of(frame)
    if not answers or not answers[-1].head.startswith(b'{"type":"error"'):
        return Result(True, re)
    return Result(False, re, _failure.decode(answers[-1].encode(None)).data)
