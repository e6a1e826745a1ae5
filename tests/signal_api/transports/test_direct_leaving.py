"""Whoever leaves leaves no work for the garbage collector: it stops the whole loop for each look, and the longer the
more clients there are."""

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

import pytest

from tests.signal_api.service import Service
from tests.signal_api.worlds import JOIN_KEY
from tests.waiting import eventually

_MANY = 20
Visit = Callable[[Service], Awaitable[None]]


@pytest.fixture
def collector() -> Iterator[None]:
    """It does nothing by itself."""
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def _left_behind() -> Counter[str]:
    """What the collector finds of this house, by type."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    found = Counter(type(each).__qualname__ for each in gc.garbage if "signal_api" in type(each).__module__)
    gc.garbage.clear()
    gc.collect()  # What was kept to be looked at is garbage still.
    return found


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
async def test_who_leaves_leaves_nothing_behind(collector: None, visit: Visit) -> None:
    async with Service() as service:
        await visit(service)
        await _all_gone(service)
        _left_behind()
        for _ in range(_MANY):
            await visit(service)
        await _all_gone(service)
        left = _left_behind()
        assert sum(left.values()) < _MANY, left


async def _all_gone(service: Service) -> None:
    """Nobody is connected, and no timer remembers who was."""
    await eventually(lambda: not service.connections)
    service.pass_time(200)
    await service.hub.settled()
    await asyncio.sleep(0)
