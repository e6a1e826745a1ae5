"""Signaling for aiortc: two programs, or a program and a browser, that find each other in a room.

RoomSignaling has the interface of aiortc.contrib.signaling, so what is written for that runs with it.
"""

import contextlib
from typing import Any, Self

from aiortc import RTCConfiguration, RTCIceCandidate, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.signaling import BYE, BaseSignaling, SignalingBye
from aiortc.sdp import candidate_from_sdp, candidate_to_sdp

from fairlead_client.client import Client, connect
from fairlead_client.frames import Frame, Json, Member, SignalingError
from fairlead_client.room import Room
from fairlead_client.session import Token

Signal = RTCSessionDescription | RTCIceCandidate | SignalingBye


class RoomSignaling(BaseSignaling):
    """One member of a room and its talk with one other, the first that it meets."""

    def __init__(self, server: str, room: str, token: Token | None = None) -> None:
        self._how = (server, token)
        self._name = room
        self._stack = contextlib.AsyncExitStack()
        self._room: Room | None = None
        self._other: Member | None = None

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *how: object) -> None:
        await self.close()

    @property
    def room(self) -> Room:
        assert self._room is not None, "connect() comes first"
        return self._room

    @property
    def configuration(self) -> RTCConfiguration:
        """The servers and the credential that the server gives to this member."""
        servers = self.room.ice.get("iceServers", [])
        return RTCConfiguration([RTCIceServer(**server) for server in servers])

    @property
    def is_caller(self) -> bool:
        """Whether this side makes the offer: of two, the one that came later."""
        return self._other is not None and self.room.order > self._other.order

    async def connect(self) -> None:
        """Joins the room and returns when somebody else is there."""
        client: Client = await self._stack.enter_async_context(connect(*self._how))
        self._room = await client.join(self._name)
        self._frames = aiter(self._room)
        while self._other is None and await anext(self._frames, None) is not None:
            self._other = next(iter(self._room.members.values()), None)

    async def negotiate(self, peer: RTCPeerConnection) -> None:
        """Makes the offer, or answers it; raises SignalingError when the other leaves meanwhile."""
        if self.is_caller:
            await peer.setLocalDescription(await peer.createOffer())
            await self.send(peer.localDescription)
        await peer.setRemoteDescription(await self.receive_description())
        if not self.is_caller:
            await peer.setLocalDescription(await peer.createAnswer())
            await self.send(peer.localDescription)

    async def part(self) -> None:
        """Returns when both sides have said that they are done."""
        await self.send(BYE)
        while await self.receive() not in (BYE, None):
            pass

    async def close(self) -> None:
        """Says goodbye and leaves."""
        if self._other is not None:
            with contextlib.suppress(Exception):  # Whether it is heard or not, this is the end.
                await self.send(BYE)
        await self._stack.aclose()
        self._other = None

    async def send(self, descr: Signal) -> None:
        """Sends to the other; raises SignalingError when it is gone."""
        assert self._other is not None, "connect() comes first"
        kind, data = _written(descr)
        await self.room.send(data, self._other.id, kind)

    async def receive_description(self) -> RTCSessionDescription:
        """The next offer or answer; raises SignalingError when the other left instead."""
        while not isinstance(signal := await self.receive(), RTCSessionDescription):
            if signal is None or signal is BYE:
                raise SignalingError("peer_gone", "the other left before it answered")
        return signal

    async def receive(self) -> Signal | None:
        """What the other sent; BYE when it has left, None when we have."""
        while (frame := await anext(self._frames, None)) is not None:
            if self._other is None:
                continue
            # Not the room as it is by now: what the other said before it left has yet to be read.
            if _is_gone(self._other.id, frame):
                return BYE
            signal = _read(frame) if frame.sender == self._other.id else None
            if signal is not None:
                return signal
        return None


def _is_gone(member: str, frame: Frame) -> bool:
    """Whether the frame says that the member is not in the room."""
    here = {"member.left": False, "joined": True}.get(frame.type)
    return here is not None and here != any(row["id"] == member for row in frame.data["members"])


def _written(signal: Signal) -> tuple[str, Json | None]:
    """As browsers write it."""
    if isinstance(signal, RTCSessionDescription):
        return signal.type, {"type": signal.type, "sdp": signal.sdp}
    if isinstance(signal, RTCIceCandidate):
        line = f"candidate:{candidate_to_sdp(signal)}"
        return "candidate", {"candidate": line, "sdpMid": signal.sdpMid, "sdpMLineIndex": signal.sdpMLineIndex}
    return "bye", None


def _read(frame: Frame) -> Signal | None:
    """None for what is no signal, and for the end of candidates, which aiortc needs not. The other may send anything,
    and ends no program by it."""
    try:
        return _signal_of(frame, frame.data)
    except (LookupError, TypeError, ValueError, AttributeError, AssertionError):
        return None


def _signal_of(frame: Frame, data: Any) -> Signal | None:
    if frame.type in ("offer", "answer"):
        return RTCSessionDescription(sdp=data["sdp"], type=data["type"])
    if frame.type == "candidate" and data and data.get("candidate"):
        candidate = candidate_from_sdp(data["candidate"].split(":", 1)[1])
        candidate.sdpMid, candidate.sdpMLineIndex = data.get("sdpMid"), data.get("sdpMLineIndex")
        return candidate
    return BYE if frame.type == "bye" else None
