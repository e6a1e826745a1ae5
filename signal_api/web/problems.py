"""Refusals over HTTP: problem documents (RFC 9457) with the code and whether to try again."""

import math
from typing import Any, NamedTuple

import msgspec
from starlette.exceptions import HTTPException

from signal_api.protocol.messages import to_json
from signal_api.protocol.refusals import ErrorCode, Refusal

CONTENT_TYPE = "application/problem+json"


class ProblemDocument(msgspec.Struct, frozen=True):
    """`title` names the status, `detail` is for the person who reads it, `code` for the program."""

    title: str
    status: int
    detail: str
    code: str
    retryable: bool
    type: str = "about:blank"
    details: dict[str, Any] | msgspec.UnsetType = msgspec.UNSET


class ProblemReply(NamedTuple):
    """A whole reply, ready for any server: status, headers in lower case, body."""

    status: int
    headers: dict[str, str]
    body: bytes


class RefusedError(HTTPException):
    """Ends the handling of a request with a refusal, wherever that is found out."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code.status.value, refusal.message)
        self.refusal = refusal


def problem_reply(refusal: Refusal, allow: str | None = None) -> ProblemReply:
    """The reply for a refusal; those to be retried say when, 401 says by what, and 405 what is allowed here."""
    status = refusal.code.status
    document = ProblemDocument(
        title=status.phrase,
        status=status.value,
        detail=refusal.message,
        code=refusal.code.value,
        retryable=refusal.code.retryable,
        details=msgspec.UNSET if refusal.details is None else dict(refusal.details),
    )
    headers = {"content-type": CONTENT_TYPE, "cache-control": "no-store"}
    if refusal.retry_after is not None:
        headers["retry-after"] = str(max(1, math.ceil(refusal.retry_after)))
    if refusal.code in (ErrorCode.UNAUTHORIZED, ErrorCode.TOKEN_EXPIRED):
        headers["www-authenticate"] = "Bearer"
    if allow is not None:
        headers["allow"] = allow
    return ProblemReply(status.value, headers, to_json(document))
