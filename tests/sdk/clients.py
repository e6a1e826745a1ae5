"""The Python client in a test's hand, and what the server may do to it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fairlead_client import Client, Frame, Room, Session
from signal_api.protocol.refusals import CloseCode
from tests.signal_api.service import Service
from tests.signal_api.worlds import JOIN_KEY

WAIT = 20.0


@contextlib.asynccontextmanager
async def entered(service: Service, transport: str = "websocket", token: str = JOIN_KEY) -> AsyncIterator[Client]:
    client = Client(Session(f"http://{service.authority}", token, [transport], dice=lambda: 0.0))
    async with asyncio.timeout(WAIT):
        await client.session.open()
    try:
        yield client
    finally:
        await client.close()


async def next_of(room: Room, kind: str) -> Frame:
    async with asyncio.timeout(WAIT):
        async for frame in room:
            if frame.type == kind:
                return frame
    raise AssertionError(f"the room has ended without {kind}: {room.closed}")


def drop(service: Service, client: Client, code: CloseCode = CloseCode.ROTATE) -> None:
    """The server closes the connection; the session stays."""
    found = service.hub.roster.get(client.session.sid or "")
    assert found is not None
    assert found.connection is not None
    found.connection.close(code)


def forget(service: Service, client: Client) -> None:
    """The session is gone, as by a restart."""
    found = service.hub.roster.get(client.session.sid or "")
    assert found is not None
    assert found.connection is not None
    service.hub.roster.remove(found)
    found.connection.close(CloseCode.ROTATE)
