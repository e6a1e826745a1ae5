"""Problem documents."""

import json

from signal_api.protocol.refusals import ErrorCode, Refusal
from signal_api.web.problems import RefusedError, problem_reply


def test_a_problem_is_for_people_and_for_programs() -> None:
    reply = problem_reply(Refusal(ErrorCode.RATE_LIMITED, "slower", retry_after=0.2))
    assert reply.status == 429
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["retry-after"] == "1"
    assert json.loads(reply.body) == {
        "type": "about:blank",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "slower",
        "code": "rate_limited",
        "retryable": True,
    }


def test_who_has_no_token_is_told_what_kind_is_wanted() -> None:
    assert problem_reply(Refusal(ErrorCode.UNAUTHORIZED, "no")).headers["www-authenticate"] == "Bearer"
    assert "www-authenticate" not in problem_reply(Refusal(ErrorCode.FORBIDDEN, "no")).headers


def test_a_refusal_can_be_raised() -> None:
    error = RefusedError(Refusal(ErrorCode.FORBIDDEN, "no"))
    assert (error.status_code, error.detail) == (403, "no")
