"""Headers that are added to every reply."""

from signal_api.origins import Approach
from signal_api.web.asgi import Message
from signal_api.web.headers import cross_origin_headers, is_preflight, security_headers, with_headers

PAGE = Approach("http", {"host": "h:1", "origin": "https://app.example"}, "", "")
PLAIN = Approach("http", {"host": "h:1"}, "", "")


async def test_what_says_nothing_of_caching_is_asked_for_anew() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    adding = with_headers(send, [(b"x", b"1")])
    await adding({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})
    await adding({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"no-store")]})
    await adding({"type": "http.response.body", "body": b"y"})
    assert sent[0]["headers"] == [(b"a", b"b"), (b"cache-control", b"no-cache"), (b"x", b"1")]
    assert sent[1]["headers"] == [(b"cache-control", b"no-store"), (b"x", b"1")]
    assert sent[2] == {"type": "http.response.body", "body": b"y"}


def test_only_a_page_that_is_welcome_may_read() -> None:
    assert (b"access-control-allow-origin", b"https://app.example") in cross_origin_headers(PAGE, True)
    for approach, welcome in ((PAGE, False), (PLAIN, True)):
        assert cross_origin_headers(approach, welcome) == [(b"vary", b"origin")]


def test_a_host_that_is_not_ours_is_not_repeated() -> None:
    assert b"ws://h:1" in dict(security_headers(PLAIN, True))[b"content-security-policy"]
    assert b"h:1" not in dict(security_headers(PLAIN, False))[b"content-security-policy"]


def test_preflights() -> None:
    asking = Approach("http", dict(PAGE.headers) | {"access-control-request-method": "POST"}, "", "")
    assert is_preflight("OPTIONS", asking)
    assert not is_preflight("POST", asking)
    assert not is_preflight("OPTIONS", PAGE)
