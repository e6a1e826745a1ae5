"""One client: what reaches its connection, and what waits in its session."""

from fairlead.buckets import TokenBucket
from fairlead.clock import Now
from signal_api.clients import Client, Visitor
from signal_api.protocol.authorization import Grants
from signal_api.protocol.messages import server_frame
from signal_api.protocol.sessions import Position, new_session
from tests.signal_api.dice import dice
from tests.signal_api.socketless import Line


def _client(expires: float | None = None) -> Client:
    grants = Grants("ann", ("*",), expires=expires)
    return Client(new_session(dice()).session, grants, Visitor(b"", "h", False), TokenBucket(), 0.0)


def test_durable_frames_are_kept_whether_there_is_a_connection_or_not() -> None:
    client, line = _client(), Line()
    client.deliver(server_frame("message", b"1"))
    client.answer(server_frame("ok"))
    client.connection = line
    client.deliver(server_frame("message", b"2"))
    client.answer(server_frame("ok"))
    assert [(frame["type"], frame.get("seq")) for frame in line.frames] == [("message", 2), ("ok", None)]
    missed = client.session.since(Position(client.session.epoch, 0))
    assert isinstance(missed, list)
    assert [entry.seq for entry in missed] == [1, 2]


def test_a_token_is_good_until_it_expires() -> None:
    assert _client().is_authorized(Now(0, 1e12))
    assert _client(expires=100.0).is_authorized(Now(0, 99.9))
    assert not _client(expires=100.0).is_authorized(Now(0, 100.0))
