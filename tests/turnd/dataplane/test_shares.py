from turnd.dataplane.shares import ALL_ELSE, REQUESTS, TOKEN, Share


def taken(share: Share, is_request: bool, size: int, now: float) -> int:
    return next(count for count in range(10_000) if not share.take(is_request, size, now))


def test_what_others_may_write_takes_nothing_of_what_only_the_client_can() -> None:
    share = Share()
    assert taken(share, False, 100, 1000.0) == ALL_ELSE.burst
    assert taken(share, True, TOKEN, 1000.0) == REQUESTS.burst
    assert taken(share, True, 100, 1000.5) == REQUESTS.per_second / 2
    assert taken(share, False, 100, 1000.5) == ALL_ELSE.per_second / 2


def test_long_messages_cost_what_they_weigh() -> None:
    assert taken(Share(), True, TOKEN + 1, 1000.0) == REQUESTS.burst / 2
    assert taken(Share(), True, 65507, 1000.0) == REQUESTS.burst / 32
