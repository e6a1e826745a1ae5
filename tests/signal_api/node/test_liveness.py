"""Pings: sent by the server, answered by any frame, missed only once."""

from signal_api.protocol.refusals import CloseCode
from tests.signal_api.socketless import Node


async def test_a_client_is_pinged_whether_it_speaks_or_not() -> None:
    node = Node()
    seat = await node.enter()
    seat.news()
    await node.pass_time(24.9)
    assert seat.types() == []
    await node.pass_time(0.1)
    for _ in range(3):
        assert seat.types() == ["ping"]
        await seat.say("message", data="any frame is a sign of life")
        seat.news()
        await node.pass_time(10)
        await node.pass_time(14.9)
        assert seat.types() == []
        await node.pass_time(0.1)
    assert seat.line.closed is None


async def test_silence_after_a_ping_ends_the_connection() -> None:
    node = Node()
    seat = await node.enter()
    await node.pass_time(25)
    await node.pass_time(9.9)
    assert seat.line.closed is None
    await node.pass_time(0.1)
    assert seat.line.closed is CloseCode.PING_TIMEOUT
    assert node.hub.roster.get(seat.client.sid) is seat.client, "the session stays for who comes back"


async def test_a_connection_that_was_replaced_is_not_watched_any_more() -> None:
    node = Node()
    old = await node.enter()
    resume = {"sid": old.client.sid, "key": old.welcome["key"], "after": 1}
    new = await node.enter(resume=resume)
    await node.pass_time(25)
    assert new.types() == ["welcome", "ping"]
    assert old.types() == ["welcome"]


async def test_grace_is_never_longer_than_the_session() -> None:
    node = Node(times__presence_grace=50, times__session_linger=5)
    stays, drops = await node.enter(rooms=["r"]), await node.enter(rooms=["r"])
    drops.lose()
    await node.pass_time(5)
    await node.pass_time(1)
    assert "member.left" in stays.types()
    assert node.hub.roster.get(drops.client.sid) is None
