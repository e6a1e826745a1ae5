"""A node that sends its clients away, and one that thinks better of it."""

import asyncio

from signal_api.protocol.refusals import CloseCode, Closing
from tests.signal_api.socketless import Line, Node


async def test_drain_sends_everybody_away_and_lets_nobody_in() -> None:
    node = Node(alternatives=["https://b.example"])
    seats = [await node.enter() for _ in range(3)]
    seats[0].lose()
    drain = asyncio.create_task(node.hub.drain(0.03))
    await seats[2].line.ended.wait()
    refused = node.try_to_enter(Line())
    assert isinstance(refused, Closing)
    assert refused.code is CloseCode.DRAIN
    for seat in seats[1:]:
        frame = seat.news()[-1]
        assert frame["type"] == "drain"
        assert 0 <= frame["data"]["retry_ms"] < 2000
        assert frame["data"]["alternatives"] == ["https://b.example"]
        assert seat.line.closed is CloseCode.DRAIN
        assert not drain.done()
        seat.lose()
    await asyncio.wait_for(drain, 60)


async def test_draining_an_empty_node_is_done_at_once() -> None:
    await asyncio.wait_for(Node().hub.drain(600), 60)


async def test_a_drain_that_is_called_off_sends_nobody_else_away() -> None:
    node = Node()
    seats = [await node.enter() for _ in range(40)]
    drain = asyncio.create_task(node.hub.drain(0.4))
    await asyncio.wait_for(seats[1].line.ended.wait(), 60)
    node.hub.leaving.call_off()
    await asyncio.wait_for(drain, 60)
    assert [seat.line.closed for seat in seats].count(None) > 20
    assert not isinstance(node.try_to_enter(Line()), Closing)


async def test_who_waits_for_a_drain_does_not_wait_on_when_it_is_called_off() -> None:
    node = Node()
    await node.enter()
    drain = asyncio.create_task(node.hub.drain(0))
    await asyncio.sleep(0)
    assert not drain.done()
    node.hub.leaving.call_off()
    await asyncio.wait_for(drain, 60)
    assert not node.hub.draining
    assert len(node.hub.roster) == 1


async def test_a_second_drain_waits_for_those_who_came_after_the_first() -> None:
    node = Node()
    for _ in range(2):
        seat = await node.enter()
        drain = asyncio.create_task(node.hub.drain(0))
        await asyncio.wait_for(seat.line.ended.wait(), 60)
        await asyncio.sleep(0.02)
        assert not drain.done()
        seat.lose()
        await asyncio.wait_for(drain, 60)
        node.hub.leaving.call_off()
