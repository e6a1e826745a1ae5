"""The Python client's adapter for aiortc, against the service itself."""

import asyncio
from typing import Any

from aiortc import RTCSessionDescription
from aiortc.contrib.signaling import BYE

from fairlead_client.aiortc import RoomSignaling
from tests.sdk.clients import WAIT
from tests.signal_api.service import Service
from tests.signal_api.worlds import JOIN_KEY
from tests.waiting import eventually


async def _connected(service: Service) -> tuple[RoomSignaling, RoomSignaling]:
    """Who came first, and who came to it."""
    server = f"http://{service.authority}"
    here, there = (RoomSignaling(server, "r", JOIN_KEY) for _ in range(2))
    first = asyncio.create_task(here.connect())
    await eventually(lambda: here._room is not None)
    await there.connect()
    service.pass_time(0.05)
    await first
    return here, there


async def test_what_the_other_said_is_read_before_that_it_left(service: Service) -> None:
    async with asyncio.timeout(WAIT):
        here, there = await _connected(service)
        assert there.is_caller
        assert not here.is_caller
        await there.send(RTCSessionDescription(sdp="v=0", type="offer"))
        await there.close()
        await service.hub.settled()
        service.pass_time(0.05)
        await eventually(lambda: not here.room.members)
        assert await here.receive() == RTCSessionDescription(sdp="v=0", type="offer")
        assert await here.receive() is BYE
        assert await here.receive() is BYE
        await here.close()


async def test_what_is_no_signal_ends_no_program(service: Service) -> None:
    async with asyncio.timeout(WAIT):
        here, there = await _connected(service)
        for candidate in (
            "x",
            "candidate:",
            "candidate:1 1 udp x 1.2.3.4 y typ",
            "candidate:1 1 udp 1 ::1 9 typ host x",
        ):
            await there.room.send({"candidate": candidate}, here.room.id, "candidate")
        wrong: list[Any] = [None, [], "", {"candidate": 5}, {"sdp": "v=0"}, {"type": "rollback?", "sdp": "v=0"}]
        for data in wrong:
            for kind in ("offer", "candidate"):
                await there.room.send(data, here.room.id, kind)
        await there.send(RTCSessionDescription(sdp="v=0", type="offer"))
        signals = [await here.receive()]
        while not isinstance(signals[-1], RTCSessionDescription):
            signals.append(await here.receive())
        assert signals[-1] == RTCSessionDescription(sdp="v=0", type="offer")
        await there.close()
        await here.close()
