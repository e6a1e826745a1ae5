"""The words for saying no: error codes in replies and problem documents, close codes on connections."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, NamedTuple


class ErrorCode(enum.StrEnum):
    """Stable names of what a request was refused for; clients switch on them."""

    BAD_REQUEST = "bad_request"
    BAD_FRAME = "bad_frame"
    UNAUTHORIZED = "unauthorized"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a code, not a secret
    FORBIDDEN = "forbidden"
    ORIGIN_NOT_ALLOWED = "origin_not_allowed"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    ROOM_NOT_FOUND = "room_not_found"
    PEER_NOT_FOUND = "peer_not_found"
    ALREADY_JOINED = "already_joined"
    ID_TAKEN = "id_taken"
    ROOM_FULL = "room_full"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - a code, not a secret
    BANNED = "banned"
    CONFLICT = "conflict"
    TOO_MANY_ROOMS = "too_many_rooms"
    SESSION_LIMIT = "session_limit"
    SESSION_EXPIRED = "session_expired"
    REQUEST_TIMEOUT = "request_timeout"
    FRAME_TOO_LARGE = "frame_too_large"
    HOST_NOT_ALLOWED = "host_not_allowed"
    RATE_LIMITED = "rate_limited"
    INTERNAL = "internal"
    UNSUPPORTED = "unsupported"
    OVER_CAPACITY = "over_capacity"
    DRAINING = "draining"
    ENGINE_UNAVAILABLE = "engine_unavailable"

    @property
    def status(self) -> HTTPStatus:
        """What an HTTP reply with this code carries."""
        return _STATUS[self]

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later, unchanged (token_expired: with a fresh token)."""
        return self in _RETRYABLE


_STATUS = {
    ErrorCode.BAD_REQUEST: HTTPStatus.BAD_REQUEST,
    ErrorCode.BAD_FRAME: HTTPStatus.BAD_REQUEST,
    ErrorCode.UNAUTHORIZED: HTTPStatus.UNAUTHORIZED,
    ErrorCode.TOKEN_EXPIRED: HTTPStatus.UNAUTHORIZED,
    ErrorCode.FORBIDDEN: HTTPStatus.FORBIDDEN,
    ErrorCode.ORIGIN_NOT_ALLOWED: HTTPStatus.FORBIDDEN,
    ErrorCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.METHOD_NOT_ALLOWED: HTTPStatus.METHOD_NOT_ALLOWED,
    ErrorCode.ROOM_NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.PEER_NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.ALREADY_JOINED: HTTPStatus.CONFLICT,
    ErrorCode.ID_TAKEN: HTTPStatus.CONFLICT,
    ErrorCode.ROOM_FULL: HTTPStatus.CONFLICT,
    ErrorCode.WRONG_PASSWORD: HTTPStatus.FORBIDDEN,
    ErrorCode.BANNED: HTTPStatus.FORBIDDEN,
    ErrorCode.CONFLICT: HTTPStatus.CONFLICT,
    ErrorCode.TOO_MANY_ROOMS: HTTPStatus.CONFLICT,
    ErrorCode.SESSION_LIMIT: HTTPStatus.CONFLICT,
    ErrorCode.SESSION_EXPIRED: HTTPStatus.GONE,
    ErrorCode.REQUEST_TIMEOUT: HTTPStatus.REQUEST_TIMEOUT,
    ErrorCode.FRAME_TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ErrorCode.HOST_NOT_ALLOWED: HTTPStatus.MISDIRECTED_REQUEST,
    ErrorCode.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
    ErrorCode.UNSUPPORTED: HTTPStatus.BAD_REQUEST,
    ErrorCode.OVER_CAPACITY: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.DRAINING: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.ENGINE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}

_RETRYABLE = frozenset(
    {
        ErrorCode.TOKEN_EXPIRED,
        ErrorCode.ROOM_FULL,
        ErrorCode.REQUEST_TIMEOUT,
        ErrorCode.RATE_LIMITED,
        ErrorCode.INTERNAL,
        ErrorCode.OVER_CAPACITY,
        ErrorCode.DRAINING,
        ErrorCode.ENGINE_UNAVAILABLE,
    }
)


class CloseCode(enum.IntEnum):
    """Why a connection ends. 4000-4099: do not reconnect; 4100-4199: back off first; 4200-4299: reconnect now."""

    NORMAL = 1000  # RFC 6455 section 7.4.1: the client asked for it
    BAD_REQUEST = 4000
    UNAUTHORIZED = 4001
    FORBIDDEN = 4003
    UNSUPPORTED_VERSION = 4004
    KICKED = 4006
    ROOM_CLOSED = 4007
    HELLO_TIMEOUT = 4008
    REPLACED = 4009
    SESSION_LIMIT = 4010
    FRAME_TOO_LARGE = 4013
    OVER_CAPACITY = 4100
    INTERNAL_ERROR = 4101
    ENGINE_UNAVAILABLE = 4102
    RATE_LIMITED = 4103
    SLOW_CONSUMER = 4104
    PING_TIMEOUT = 4105
    TOKEN_EXPIRED = 4106
    DRAIN = 4200
    REBALANCE = 4201
    ROTATE = 4202


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request was understood and is not granted. `message` is written for the person who reads it, `details` for
    the program; `retry_after` is in seconds."""

    code: ErrorCode
    message: str
    retry_after: float | None = None
    details: Mapping[str, Any] | None = None


class Closing(NamedTuple):
    """A connection is not taken, or not kept, and why; the reason is for people."""

    code: CloseCode
    reason: str


_REFUSALS = {
    CloseCode.BAD_REQUEST: ErrorCode.BAD_REQUEST,
    CloseCode.UNAUTHORIZED: ErrorCode.UNAUTHORIZED,
    CloseCode.UNSUPPORTED_VERSION: ErrorCode.UNSUPPORTED,
    CloseCode.KICKED: ErrorCode.BANNED,
    CloseCode.ROOM_CLOSED: ErrorCode.ROOM_NOT_FOUND,
    CloseCode.SESSION_LIMIT: ErrorCode.SESSION_LIMIT,
    CloseCode.FRAME_TOO_LARGE: ErrorCode.FRAME_TOO_LARGE,
    CloseCode.OVER_CAPACITY: ErrorCode.OVER_CAPACITY,
    CloseCode.RATE_LIMITED: ErrorCode.RATE_LIMITED,
    CloseCode.TOKEN_EXPIRED: ErrorCode.TOKEN_EXPIRED,
    CloseCode.DRAIN: ErrorCode.DRAINING,
    CloseCode.ENGINE_UNAVAILABLE: ErrorCode.ENGINE_UNAVAILABLE,
    CloseCode.REBALANCE: ErrorCode.ENGINE_UNAVAILABLE,
}


def refusal_of(closing: Closing) -> Refusal:
    """What a WebSocket would be closed for, as the answer to a request."""
    code = _REFUSALS.get(closing.code, ErrorCode.INTERNAL)
    return Refusal(code, closing.reason, 1.0 if code.retryable else None)


class EngineUnavailableError(Exception):
    """The room store does not answer; what needs it is refused until it does."""
