"""Everything below /v1/admin."""

from typing import Any

from fastapi import APIRouter

from signal_api.admin.guard import Once, route_class
from signal_api.admin.publishing import add_publishing
from signal_api.admin.relay import add_relay
from signal_api.admin.rooms import add_moderation, add_rooms
from signal_api.admin.service import add_revocations, add_service, add_sessions
from signal_api.engine.contract import Engine
from signal_api.node.hub import Hub
from signal_api.node.steward import Steward

PREFIX = "/v1/admin"


def admin_router(hub: Hub, engine: Engine, steward: Steward, problems: dict[int | str, dict[str, Any]]) -> APIRouter:
    """The routes; each asks for a key with its scope. `problems` describes how they refuse."""
    router = APIRouter(prefix=PREFIX, tags=["Admin"], responses=problems, route_class=route_class(Once(hub)))
    add_publishing(router, hub, engine)
    add_moderation(router, hub, engine, steward)
    add_relay(router, hub, engine)
    add_rooms(router, hub, engine, steward)
    add_sessions(router, hub, engine)
    add_service(router, hub, engine)
    add_revocations(router, hub, engine)
    return router
