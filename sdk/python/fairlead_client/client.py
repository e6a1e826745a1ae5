"""The front door: one session, and the rooms that it is in."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

from fairlead_client.frames import Frame, Json, SignalingError
from fairlead_client.room import Room
from fairlead_client.session import Session, Token


class Client:
    """Rooms of one session. `on_frame` takes what belongs to none of them, also frames of unknown types."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.rooms: dict[str, Room] = {}
        self.on_frame: Callable[[Frame], None] = lambda _: None
        self._returns: set[asyncio.Task[None]] = set()
        session.on_frame = self._receive
        session.on_lost = self._return
        session.on_end = self._end

    async def join(
        self,
        name: str,
        *,
        meta: Any = None,
        password: str | None = None,
        token: str | None = None,
        create: Json | None = None,
    ) -> Room:
        """Joins a room, and comes back to it by itself should the session be lost. `token` counts in this room alone,
        `create` says what holds in it for who opens it. Raises SignalingError."""
        if name in self.rooms:
            raise SignalingError("already_joined", f"this client is in {name} already")
        wishes = {"meta": meta, "password": password, "token": token, "create": create}
        room = Room(self.session, name, {wish: value for wish, value in wishes.items() if value is not None})
        self.rooms[name] = room
        room.on_end = partial(self._forget, room)
        try:
            await room.enter()
        except BaseException:
            self._forget(room)
            raise
        return room

    async def close(self) -> None:
        """Leaves everything, for good."""
        leaving = [room.leave() for room in self.rooms.values() if room.closed is None]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.gather(*leaving, return_exceptions=True)
        await self.session.close()

    def _receive(self, frame: Frame) -> None:
        room = self.rooms.get(frame.room) if frame.room is not None else None
        if room is None:
            self.on_frame(frame)
            return
        room.receive(frame)
        if frame.type == "room.closed":
            room.end((frame.data or {}).get("reason", "closed"))

    def _end(self, why: SignalingError) -> None:
        for room in list(self.rooms.values()):
            room.end(why.code)

    def _forget(self, room: Room) -> None:
        if self.rooms.get(room.name) is room:
            del self.rooms[room.name]

    def _return(self) -> None:
        """The session that knew the rooms is gone: they are joined again, in this one."""
        for room in [room for room in self.rooms.values() if room.is_in]:
            task = asyncio.create_task(self._enter_again(room))
            self._returns.add(task)
            task.add_done_callback(self._returns.discard)
        # Afterwards: whoever waits for one of these frames may send the next one, which comes behind the joins.
        for name in self.rooms:
            self.session.abandon(name)

    async def _enter_again(self, room: Room) -> None:
        try:
            await room.enter_again()
        except SignalingError as error:
            room.end(error.code)


@contextlib.asynccontextmanager
async def connect(
    server: str, token: Token | None = None, transports: Sequence[str] = ("websocket", "sse", "poll")
) -> AsyncIterator[Client]:
    """A client at a server, such as https://signal.example.org, as long as the context lasts.

    `token` is a JWT or a join key, or a function that is asked for one whenever a connection is made. Raises
    SignalingError, and ValueError for what is no address of a server.
    """
    session = Session(server, token, transports)
    client = Client(session)
    await session.open()
    try:
        yield client
    finally:
        await client.close()
