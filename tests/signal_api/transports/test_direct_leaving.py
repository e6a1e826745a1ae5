"""Whoever leaves leaves no work for the garbage collector: it stops the whole loop for each look, and the longer the
more clients there are."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from tests.garbage import uncollected
from tests.signal_api.service import Service
from tests.signal_api.worlds import JOIN_KEY
from tests.waiting import eventually

_MANY = 20
Visit = Callable[[Service], Awaitable[None]]


async def _hello(service: Service) -> None:
    peer = await service.enter(rooms=["r"])
    await peer.hear("joined")
    await peer.socket.close()


async def _forged(service: Service) -> None:
    peer = await service.dial()
    await peer.say("hello", data={"v": 1, "token": "forged"})
    assert await peer.end() == 4001


async def _cut(service: Service) -> None:
    peer = await service.enter()
    peer.socket.transport.abort()


async def _peerjs(service: Service) -> None:
    peer = await service.dial(f"/peerjs?key={JOIN_KEY.replace(' ', '+')}&id=p&token=t", subprotocols=None)
    await peer.hear("OPEN")
    await peer.socket.close()


@pytest.mark.parametrize("visit", [_hello, _forged, _cut, _peerjs])
async def test_who_leaves_leaves_nothing_behind(visit: Visit) -> None:
    with uncollected("signal_api") as found:
        await _visit_often(visit, found)


async def _visit_often(visit: Visit, found: Callable[[], Counter[str]]) -> None:
    async with Service() as service:
        await visit(service)
        await _all_gone(service)
        found()
        for _ in range(_MANY):
            await visit(service)
        await _all_gone(service)
        left = found()
        assert sum(left.values()) < _MANY, left


async def _all_gone(service: Service) -> None:
    """Nobody is connected, and no timer remembers who was."""
    await eventually(lambda: not service.connections)
    service.pass_time(200)
    await service.hub.settled()
    await asyncio.sleep(0)
