"""The envelope of sig.v1: one JSON object a frame, `data` carried as the bytes that came.

A frame is checked once, on entry. From then on `data` is spliced into the frames that go out and never parsed.
"""

import functools
import re
from array import array
from itertools import accumulate
from typing import Annotated, Any

import msgspec

from signal_api.protocol.refusals import CloseCode, Refusal

MAX_FRAME = 65536  # bytes
MAX_DEPTH = 32
#: members that one frame may name in `to`
MAX_RECIPIENTS = 16

#: Member to member, each about one peer connection; `to` names members.
NEGOTIATION = frozenset({"offer", "answer", "candidate", "candidates", "restart", "bye"})

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
RoomName = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
# Of what ends a text in Python, the lookahead is what the schemas' readers in other languages know as well.
_TYPE = r"^[a-z][a-z0-9._-]{0,31}(?![\s\S])"
FrameType = Annotated[str, msgspec.Meta(max_length=32, extra_json_schema={"pattern": _TYPE})]
NULL = msgspec.Raw(b"null")


class MalformedFrameError(Exception):
    """Bytes that are no frame at all: the connection that sent them is closed with `close`."""

    def __init__(self, close: CloseCode, why: str) -> None:
        super().__init__(why)
        self.close = close


class InvalidFrameError(Exception):
    """A JSON object whose envelope breaks a rule: it is refused, the connection stays."""


class ToUser(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every session of one user in the room."""

    user: str


Recipients = Name | Annotated[list[Name], msgspec.Meta(min_length=1, max_length=MAX_RECIPIENTS)] | ToUser


class ClientFrame(msgspec.Struct, frozen=True):
    """What a client sends. There is no `from`: who sent a frame is never taken from the frame."""

    type: FrameType
    id: Name | None = None
    room: RoomName | None = None
    to: Recipients | None = None
    ack: Annotated[int, msgspec.Meta(ge=0)] | None = None
    data: msgspec.Raw = NULL


class ServerFrame(msgspec.Struct, frozen=True):
    """What a client is sent, but for the sequence number, which each session puts in for itself."""

    head: bytes
    tail: bytes

    def encode(self, seq: int | None) -> bytes:
        """One line of JSON; None for a frame that is not kept."""
        return self.head + self.tail if seq is None else b'%b,"seq":%d%b' % (self.head, seq, self.tail)


class _Named(msgspec.Struct, frozen=True):
    id: Name | None = None


_frames = msgspec.json.Decoder(ClientFrame)
#: Told by the decoder, the pattern would be looked at for each frame, and cost more than all else that it does.
_is_type = functools.lru_cache(256)(re.compile(_TYPE).match)
_named = msgspec.json.Decoder(_Named)
#: characters of which a half may stand in one frame: texts are cut at their ends
_MOST_HALVES = 64
#: The next escape that is half of a character (RFC 8259 section 7), behind whole ones and what only looks like one.
_TO_HALF = re.compile(
    rb"[^\\]*+(?:\\(?:[^u]|u(?![dD][89a-fA-F])|u[dD][89abAB]%b\\u[dD][c-fC-F]%b)[^\\]*+)*+(?P<half>\\u[dD][89a-fA-F]%b)"
    % ((rb"[0-9a-fA-F]{2}",) * 3),
    re.DOTALL,
)
_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
#: +1 for a bracket that opens, -1 (as an unsigned byte) for one that closes
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
#: Bytes as numbers: to look for those is faster by far than for texts of length one.
_OBJECT, _LIST, _LF, _CR = b"{[\n\r"
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def decode(data: bytes, limit: int = MAX_FRAME) -> ClientFrame:
    """Reads one frame of at most `limit` bytes.

    Line breaks between tokens become spaces, since a frame has to fit on one line of an event stream.
    Raises MalformedFrameError (what came is no JSON object, or too big or too deep) or InvalidFrameError.
    """
    if len(data) > limit:
        raise MalformedFrameError(CloseCode.FRAME_TOO_LARGE, f"a frame holds at most {limit} bytes")
    if not data.isascii():
        _check_utf8(data)
    decoded = _decode(data)
    if data.count(_OBJECT) + (_LIST in data and data.count(_LIST)) > MAX_DEPTH and nesting(data) > MAX_DEPTH:
        raise MalformedFrameError(CloseCode.BAD_REQUEST, f"a frame nests at most {MAX_DEPTH} levels deep")
    if _LF in data or _CR in data:
        # Inside a string they would have been refused: these stand between tokens.
        return _decode(data.translate(_LINE_BREAKS))
    return decoded


def made_whole(data: bytes) -> bytes:
    """JSON with U+FFFD for the halves of characters, such as are left of an emoji that was cut in the middle. Browsers
    write them (ECMA-262, JSON.stringify), and what they mean is left to the reader (RFC 8259 section 8.2)."""
    parts, at = list[bytes](), 0
    while len(parts) < _MOST_HALVES and (found := _TO_HALF.match(data, at)) is not None:
        parts.append(data[at : found.start("half")])
        at = found.end()
    return b"\\ufffd".join((*parts, data[at:]))


def id_of(data: bytes) -> str | None:
    """The id of a frame of which nothing else counts, where it has one that can be echoed."""
    try:
        return _named.decode(data).id
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _check_utf8(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeError:
        raise MalformedFrameError(CloseCode.BAD_REQUEST, "a frame is UTF-8") from None


def _decode(data: bytes, is_whole: bool = False) -> ClientFrame:
    if not data.lstrip(b" \t\r\n").startswith(b"{"):
        raise MalformedFrameError(CloseCode.BAD_REQUEST, "a frame is one JSON object")
    try:
        frame = _frames.decode(data)
    except RecursionError:
        raise MalformedFrameError(CloseCode.BAD_REQUEST, f"a frame nests at most {MAX_DEPTH} levels deep") from None
    except msgspec.ValidationError as error:
        raise InvalidFrameError(str(error)) from None
    except msgspec.DecodeError as error:
        if not is_whole and (whole := made_whole(data)) != data:
            return _decode(whole, is_whole=True)
        raise MalformedFrameError(CloseCode.BAD_REQUEST, f"a frame is one JSON object: {error}") from None
    if not _is_type(frame.type):
        raise InvalidFrameError("type is written with a-z, 0-9, `.`, `_` and `-`, and begins with a letter")
    return frame


def nesting(data: bytes) -> int:
    """How deep the brackets of a valid JSON text nest."""
    steps = array("b", _STRING.sub(b"", data).translate(_STEPS, _NO_BRACKETS))
    return max(accumulate(steps), default=0)


def server_frame(
    kind: str,
    data: bytes | None = None,
    *,
    re: str | None = None,
    room: str | None = None,
    sender: str | None = None,
    ts: int | None = None,
    by_server: bool = False,
) -> ServerFrame:
    """Writes a frame; `data` is JSON as it stands, `ts` milliseconds of Unix time. What would otherwise be a member's
    is marked as said by the server: it is from null."""
    tail = b"" if re is None else b',"re":' + to_json(re)
    if room is not None:
        tail += b',"room":' + to_json(room)
    if sender is not None:
        tail += b',"from":' + to_json(sender)
    elif by_server:
        tail += b',"from":null'
    if ts is not None:
        tail += b',"ts":%d' % ts
    if data is not None:
        tail += b',"data":' + data
    return ServerFrame(_head(kind), tail + b"}")


def relayed_frame(kind: str, data: msgspec.Raw, room: str, sender: str, ts: int) -> ServerFrame:
    """As server_frame, of a member, in one step: most frames are."""
    tail = b',"room":%b,"from":%b,"ts":%d,"data":%b}' % (to_json(room), to_json(sender), ts, data)
    return ServerFrame(_head(kind), tail)


@functools.lru_cache(256)
def _head(kind: str) -> bytes:
    """How frames of one type begin, shared by all that are in a log."""
    return b'{"type":' + to_json(kind)


to_json = msgspec.json.Encoder().encode


class Problem(msgspec.Struct, frozen=True):
    """What an error frame says."""

    code: str
    message: str
    retryable: bool
    retry_after_ms: int | msgspec.UnsetType = msgspec.UNSET
    details: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


def error_frame(refusal: Refusal, re: str | None = None) -> ServerFrame:
    """The reply to a frame that was refused."""
    after = msgspec.UNSET if refusal.retry_after is None else round(refusal.retry_after * 1000)
    details = msgspec.UNSET if refusal.details is None else dict(refusal.details)
    problem = Problem(refusal.code.value, refusal.message, refusal.code.retryable, after, details)
    return server_frame("error", to_json(problem), re=re)


PING = server_frame("ping")
PONG = server_frame("pong")
