"""What was relayed for a room, and why its calls went as they did."""

from typing import Any

import msgspec
from fastapi import APIRouter, Depends

from signal_api.admin.guard import needs
from signal_api.admin.rooms import Name
from signal_api.api_keys import Scope
from signal_api.engine.contract import Engine
from signal_api.node.hub import Hub
from signal_api.protocol.refusals import ErrorCode, Refusal
from signal_api.relay.stats import room_stats
from signal_api.web.problems import RefusedError

_ABSENT = Refusal(ErrorCode.ROOM_NOT_FOUND, "there is no such room")


def add_relay(router: APIRouter, hub: Hub, engine: Engine) -> None:
    """Adds the route; it stands before those that end in a room's name."""

    @router.get(
        "/rooms/{name:path}/relay",
        dependencies=[Depends(needs(hub, Scope.STATS))],
        summary="What the members of a room relayed, as turnd and their clients tell it",
    )
    async def get_relay(name: Name) -> dict[str, Any]:
        room = (await engine.load(name)).room
        if room is None or not room.is_open:
            raise RefusedError(_ABSENT)
        told = await engine.reports([member.turn_user for member in room.members.values()])
        stats: dict[str, Any] = msgspec.to_builtins(room_stats(room, hub.sightings, told))
        return stats
