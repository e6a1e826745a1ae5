"""Codes: each has a status, and the ranges of close codes say what to do."""

from signal_api.protocol.refusals import CloseCode, ErrorCode


def test_every_code_has_a_status_of_an_error() -> None:
    assert all(400 <= code.status < 600 for code in ErrorCode)


def test_what_may_be_tried_again() -> None:
    again = {code for code in ErrorCode if code.retryable}
    assert {ErrorCode.RATE_LIMITED, ErrorCode.DRAINING, ErrorCode.TOKEN_EXPIRED} <= again
    assert not again & {ErrorCode.UNAUTHORIZED, ErrorCode.FORBIDDEN, ErrorCode.BAD_REQUEST}


def test_the_ranges_of_close_codes() -> None:
    assert all(4000 <= code < 4300 for code in CloseCode if code is not CloseCode.NORMAL)
    stay_away = {CloseCode.UNAUTHORIZED, CloseCode.REPLACED, CloseCode.FRAME_TOO_LARGE, CloseCode.SESSION_LIMIT}
    assert all(code < 4100 for code in stay_away)
    back_off = {CloseCode.SLOW_CONSUMER, CloseCode.OVER_CAPACITY, CloseCode.TOKEN_EXPIRED}
    assert all(4100 <= code < 4200 for code in back_off)
    assert CloseCode.DRAIN >= 4200
