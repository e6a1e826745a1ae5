"""From an ASGI scope to what the pure code asks."""

import json

import pytest

from signal_api.protocol.refusals import ErrorCode, Refusal
from signal_api.web.asgi import Message, Scope, approach_of, send_problem


@pytest.mark.parametrize(("scheme", "plain"), [("ws", "http"), ("wss", "https"), ("http", "http")])
def test_how_a_request_reached_us(scheme: str, plain: str) -> None:
    scope: Scope = {
        "scheme": scheme,
        "headers": [(b"host", b"h")],
        "client": ("198.51.100.7", 5000),
        "server": ("203.0.113.5", 8080),
    }
    assert approach_of(scope) == (plain, {"host": "h"}, "198.51.100.7", "203.0.113.5")


def test_a_unix_socket_has_no_addresses() -> None:
    approach = approach_of({"scheme": "http", "headers": [], "client": None, "server": None})
    assert (approach.client, approach.server) == ("", "")


@pytest.mark.parametrize(("kind", "prefix"), [("http", "http.response"), ("websocket", "websocket.http.response")])
async def test_a_problem_is_sent_in_the_words_of_the_protocol(kind: str, prefix: str) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await send_problem({"type": kind}, send, Refusal(ErrorCode.NOT_FOUND, "nothing here"))
    assert [message["type"] for message in sent] == [f"{prefix}.start", f"{prefix}.body"]
    assert sent[0]["status"] == 404
    assert json.loads(sent[1]["body"])["code"] == "not_found"
