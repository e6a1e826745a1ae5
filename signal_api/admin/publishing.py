"""Frames from back ends: to a room, or to a user wherever it is."""

from fastapi import APIRouter, Depends

from signal_api.admin.guard import needs
from signal_api.admin.rooms import Name
from signal_api.admin.shapes import Publication, Published, RoomPublication, json_of
from signal_api.api_keys import Scope
from signal_api.engine.contract import Engine
from signal_api.node.hub import Hub
from signal_api.protocol.effects import Deliver, Tell
from signal_api.protocol.messages import ServerFrame, server_frame
from signal_api.protocol.refusals import ErrorCode, Refusal
from signal_api.web.problems import RefusedError


def add_publishing(router: APIRouter, hub: Hub, engine: Engine) -> None:
    """Adds the routes; what is published is numbered and kept like any frame."""
    allowed = Depends(needs(hub, Scope.PUBLISH))

    def frame(asked: Publication, room: str | None) -> ServerFrame:
        data = json_of(asked.data, hub.policy.limits.frame_bytes)
        ts = round(hub.clock.now().wall * 1000)
        return server_frame(asked.type, bytes(data), room=room, ts=ts, by_server=True)

    @router.post("/rooms/{name:path}/publish", status_code=202, dependencies=[allowed], summary="Send to a room")
    async def to_room(name: Name, asked: RoomPublication) -> Published:
        room = (await engine.load(name)).room
        if room is None or not room.is_open:
            raise RefusedError(Refusal(ErrorCode.ROOM_NOT_FOUND, "there is no such room"))
        members = list(room.members) if asked.to is None else asked.to
        absent = [member for member in members if member not in room.members]
        if absent:
            raise RefusedError(Refusal(ErrorCode.PEER_NOT_FOUND, "no such member", details={"to": absent}))
        sids = tuple(dict.fromkeys(room.members[member].sid for member in members))
        if sids:
            await engine.publish((Deliver(sids, frame(asked, name)),))
        return Published(recipients=len(sids))

    @router.post("/users/{user:path}/publish", status_code=202, dependencies=[allowed], summary="Send to a user")
    async def to_user(user: str, asked: Publication) -> Published:
        await engine.publish((Tell(user, frame(asked, None)),))
        return Published(recipients=None)
