"""The last frame of a connection over HTTP, where there is no close code but in it."""

import msgspec

from signal_api.protocol.messages import ServerFrame, server_frame, to_json
from signal_api.protocol.refusals import CloseCode


class Close(msgspec.Struct, frozen=True):
    """The number that a WebSocket would be closed with; the reason is for people."""

    code: int
    reason: str


def close_frame(code: CloseCode, reason: str) -> ServerFrame:
    return server_frame("close", to_json(Close(code.value, reason)))


def is_final(code: CloseCode) -> bool:
    """Whether a client that is told this must not come back by itself."""
    return code < CloseCode.OVER_CAPACITY
