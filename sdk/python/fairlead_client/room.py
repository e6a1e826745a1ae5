"""A room: who is in it, and what they say."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from fairlead_client.frames import Frame, Json, Member, SignalingError
from fairlead_client.session import Session

#: frames that wait for whoever reads the room
_WAITING = 4096
#: seconds until a room that cannot be joined just now is tried again
_AGAIN = 1.0


class Room:
    """`async for frame in room` gives every frame of the room in its order, `joined` and `member.joined` as well, after
    `members` reflects it; it ends with the membership. `ice` is the configuration of an RTCPeerConnection with its
    lifetime; the server renews it. Frames wait for whoever iterates: the newest 4096; what gave way to them is counted
    in `missed`. Made by Client.join."""

    def __init__(self, session: Session, name: str, wishes: Json) -> None:
        self.name = name
        self.members: dict[str, Member] = {}
        self.id = ""
        self.order = 0
        self.role = ""
        self.meta: Any = None
        self.ice: Json = {}
        #: frames that nobody has read in time
        self.missed = 0
        #: why the membership has ended; None while it lasts
        self.closed: str | None = None
        self.on_end: Callable[[], None] = lambda: None
        self._session = session
        self._wishes = wishes
        self._rseq = 0
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue()
        self._is_entering = self._is_leaving = self._is_returning = False

    async def send(self, data: Any, to: Any = "*", kind: str = "message") -> None:
        """To everybody else, a member, a list of members, or {"user": ...}; raises SignalingError."""
        await self._session.request(kind, room=self.name, to=to, data=data)

    async def report(
        self,
        outcome: str,
        peer: str | None = None,
        *,
        path: str = "none",
        protocol: str = "none",
        connect_ms: float | None = None,
        detail: str = "",
    ) -> None:
        """Tells the server how the connection to a member went: connected, failed, or lost after it was connected.
        `path` is the kind of our candidate (host, srflx, prflx, relay), `protocol` how we speak to a relay (udp, tcp,
        tls). Beside what turnd saw it answers why a call failed. Raises SignalingError."""
        told: Json = {"outcome": outcome, "path": path, "protocol": protocol, "detail": detail}
        if peer is not None:
            told["peer"] = peer
        if connect_ms is not None:
            told["connect_ms"] = round(connect_ms)
        await self._session.request("report", room=self.name, data=told)

    async def renew(self, token: str) -> None:
        """A fresh token for this room, in place of the one that it was joined with; raises SignalingError."""
        await self._session.request("token", room=self.name, data={"token": token})
        self._wishes = {**self._wishes, "token": token}

    async def leave(self) -> None:
        self._is_leaving = True
        try:
            await self._session.request("leave", room=self.name)
        except SignalingError as error:
            # With its session the membership is gone as well, and on the way back there is none yet.
            if error.code not in ("session_expired", "room_not_found"):
                raise
        finally:
            self._is_leaving = False
        self.end("left")

    async def __aiter__(self) -> AsyncIterator[Frame]:
        while (frame := await self._frames.get()) is not None:
            yield frame
        self._frames.put_nowait(None)  # For whoever asks again.

    # For the Client

    async def enter(self) -> None:
        self._is_entering = True
        try:
            await self._session.request("join", room=self.name, data=self._wishes)
        finally:
            self._is_entering = False

    async def enter_again(self) -> None:
        """Comes back in another session; a server that cannot do that just now is asked until it can. Raises
        SignalingError."""
        self._is_returning = True
        try:
            while self.closed is None:
                pause = await self._try_again()
                if pause is None:
                    break
                await asyncio.sleep(pause)
        finally:
            self._is_returning = False

    async def _try_again(self) -> float | None:
        """Seconds until the next attempt; None when it is in."""
        if self._is_leaving:
            return _AGAIN
        try:
            await self.enter()
        except SignalingError as error:
            if error.code != "engine_unavailable":
                raise
            return _AGAIN if error.retry_after is None else error.retry_after
        return None

    @property
    def is_in(self) -> bool:
        """Whether it has to be entered again where its session is lost: a join under way is repeated by the session."""
        is_under_way = self._is_entering or self._is_leaving or self._is_returning
        return not is_under_way and self.closed is None

    def end(self, reason: str) -> None:
        if self.closed is None:
            self.closed = reason
            self._frames.put_nowait(None)
            self.on_end()

    def receive(self, frame: Frame) -> None:
        if frame.type == "joined":
            self._show(frame.data)
        elif frame.type == "ice" and "iceServers" in frame.data:
            self.ice = frame.data
        elif frame.type.startswith(("member.", "room.updated")) and not self._change(frame):
            return
        if self._frames.qsize() >= _WAITING:
            self._frames.get_nowait()
            self.missed += 1
        self._frames.put_nowait(frame)

    def _show(self, joined: Json) -> None:
        self.id, self.order = joined["self"]["id"], joined["self"]["order"]
        self.role, self.meta = joined.get("role", ""), joined.get("meta")
        self.ice = joined.get("ice", self.ice)
        self.members = {member["id"]: Member.read(member) for member in joined["members"]}
        self._rseq = joined["rseq"]

    def _change(self, frame: Frame) -> bool:
        """False for what was in the room already when it was shown."""
        if frame.data["rseq"] <= self._rseq:
            return False
        if frame.type == "room.updated":
            self.meta = frame.data["meta"]
            return True
        self._rseq = frame.data["rseq"]
        for member in frame.data["members"]:
            if frame.type == "member.left":
                self.members.pop(member["id"], None)
            elif frame.type == "member.joined" and member["id"] != self.id:
                self.members[member["id"]] = Member.read(member)
            elif member["id"] in self.members:
                self.members[member["id"]].update(member)
        return True
