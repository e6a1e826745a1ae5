"""A member of a room, in a few lines of sig.v1 over WebSocket."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import websockets

from fairlead.datagram import Address
from tests.processes import JOIN_KEY, PATIENCE


class Member:
    """One session in one room. `id` is its member id, `ice` what its join reply says of ICE servers."""

    def __init__(self, socket: websockets.ClientConnection, room: str, joined: dict[str, Any]) -> None:
        self._socket = socket
        self._room = room
        self.id: str = joined["self"]["id"]
        self.others: list[str] = [member["id"] for member in joined["members"]]
        self.ice: dict[str, Any] = joined["ice"]

    async def send(self, kind: str, to: str, data: Any) -> None:
        await self._socket.send(json.dumps({"type": kind, "room": self._room, "to": to, "data": data}))

    async def receive(self, kind: str) -> dict[str, Any]:
        """The next frame of this type; others before it are passed over, but for errors."""
        return await _next(self._socket, kind)


@contextlib.asynccontextmanager
async def member(signal_api: Address, room: str) -> AsyncIterator[Member]:
    """Opens a session and joins a room."""
    async with websockets.connect(
        f"ws://{signal_api}/v1/ws",
        subprotocols=[websockets.Subprotocol("sig.v1")],
        origin=websockets.Origin(f"http://{signal_api}"),
    ) as socket:
        hello = {"v": 1, "token": JOIN_KEY, "client": {"name": "interop", "version": "1"}, "caps": []}
        await socket.send(json.dumps({"type": "hello", "data": hello}))
        await _next(socket, "welcome")
        await socket.send(json.dumps({"type": "join", "id": "j", "room": room, "data": {}}))
        yield Member(socket, room, (await _next(socket, "joined"))["data"])


async def _next(socket: websockets.ClientConnection, kind: str) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        while (frame := json.loads(await socket.recv()))["type"] != kind:
            assert frame["type"] not in ("error", "close"), frame
    assert isinstance(frame, dict)
    return frame
