"""The bodies of the server's own frames."""

import json

import msgspec
import pytest

from signal_api.node.frames import Hello, Join, Resume, welcome
from signal_api.policy import read_policy
from signal_api.protocol.sessions import ResumeFailure, new_session
from tests.signal_api.dice import dice
from tests.signal_api.worlds import ManualClock, configured


def test_welcome_speaks_of_the_configuration() -> None:
    policy = read_policy(
        configured(limits__frames_per_second=0.5, limits__rooms_per_session=3, times__ping_interval=1.5)
    )
    session, key = new_session(dice())
    body = json.loads(welcome(policy, session, key, ManualClock().now(), ResumeFailure.GAP))
    assert (body["sid"], body["key"], body["reason"]) == (session.sid, key, "gap")
    assert body["ping_ms"] == 1500
    assert body["limits"]["rooms"] == 3
    assert body["limits"]["frames_per_second"] == 0


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Hello, b'{"v":1.5}'),
        (Hello, b'{"v":1,"rooms":"r"}'),
        (Hello, b'{"v":1,"token":7}'),
        (Hello, b'{"v":1,"resume":{"sid":"s"}}'),
        (Resume, b'{"sid":"s","key":"k","after":-1}'),
        (Resume, b'{"sid":"s","key":"k","after":true}'),
        (Join, b'{"room":""}'),
    ],
)
def test_what_a_client_may_not_say(kind: type, text: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=kind)


def test_what_nobody_knows_is_ignored() -> None:
    hello = msgspec.json.decode(b'{"v":1,"client":{"name":"sdk"},"caps":["x"]}', type=Hello)
    assert hello == Hello(v=1)
