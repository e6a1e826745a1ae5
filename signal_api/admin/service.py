"""The node itself, its sessions, and the credentials that are dead."""

from fastapi import APIRouter, Depends, Response

from fairlead import __version__
from signal_api.admin.guard import needs
from signal_api.admin.rooms import After, Limit
from signal_api.admin.shapes import (
    Drain,
    NewRevocation,
    Page,
    RevocationView,
    SessionView,
    Stats,
    TurnRevocation,
)
from signal_api.api_keys import Scope
from signal_api.clients import Client
from signal_api.engine.contract import Engine
from signal_api.node.hub import Hub
from signal_api.protocol.effects import End, LeaveReason
from signal_api.protocol.refusals import CloseCode, ErrorCode, Refusal
from signal_api.protocol.revocations import Revocation, RevocationKind
from signal_api.web.problems import RefusedError

_UNLINKED = Refusal(ErrorCode.CONFLICT, "no turnd would hear of it: set link.socket or link.redis, here and at turnd")


def add_service(router: APIRouter, hub: Hub, engine: Engine) -> None:
    """Adds the routes of the node."""
    stats, drains = Depends(needs(hub, Scope.STATS)), Depends(needs(hub, Scope.DRAIN))

    @router.get("/stats", dependencies=[stats], summary="How it stands")
    async def get_stats() -> Stats:
        census, connected = engine.census(), hub.roster.connected()
        return Stats(
            version=__version__,
            connected=connected,
            away=len(hub.roster) - connected,
            rooms=census.rooms,
            members=census.members,
            revocations=len(hub.revocations),
            draining=hub.draining,
        )

    @router.post(
        "/drain",
        status_code=202,
        response_class=Response,
        dependencies=[drains],
        summary="Send this node's clients away",
    )
    async def drain(asked: Drain) -> Response:
        if not hub.draining:
            hub.spawn(hub.drain(asked.window))
        return Response(status_code=202)

    @router.delete("/drain", status_code=204, dependencies=[drains], summary="Take clients in again")
    async def resume() -> Response:
        hub.leaving.call_off()
        return Response(status_code=204)


def add_sessions(router: APIRouter, hub: Hub, engine: Engine) -> None:
    """Adds the routes of sessions. A list is of the node that answers; to end one works on any node."""
    read, write = Depends(needs(hub, Scope.SESSIONS_READ)), Depends(needs(hub, Scope.SESSIONS_WRITE))

    @router.get("/sessions", dependencies=[read], summary="Sessions of this node")
    async def list_sessions(after: After = "", limit: Limit = 100, user: str | None = None) -> Page[SessionView]:
        clients = hub.roster if user is None else hub.roster.of(user)
        later = sorted((client for client in clients if client.sid > after), key=lambda client: client.sid)
        page = later[:limit]
        return Page(
            items=[SessionView.of(client) for client in page], next=page[-1].sid if len(later) > limit else None
        )

    @router.get("/sessions/{sid}", dependencies=[read], summary="A session of this node")
    async def get_session(sid: str) -> SessionView:
        return SessionView.of(_found(hub, sid))

    @router.delete("/sessions/{sid}", status_code=204, dependencies=[write], summary="End a session")
    async def end_session(sid: str) -> Response:
        await engine.publish((End((sid,), CloseCode.KICKED, LeaveReason.SHUTDOWN),))
        return Response(status_code=204)


def add_revocations(router: APIRouter, hub: Hub, engine: Engine) -> None:
    """Adds the routes of tokens and TURN credentials that end before their time."""
    allowed = Depends(needs(hub, Scope.REVOKE))

    @router.get("/revocations", dependencies=[allowed], summary="Tokens that are dead before their time")
    async def list_revocations() -> Page[RevocationView]:
        now = hub.clock.now().wall
        known = [RevocationView(kind=r.kind, id=r.id, at=r.at, until=r.until) for r in hub.revocations if r.until > now]
        return Page(items=known, next=None)

    @router.post("/revocations", status_code=201, dependencies=[allowed], summary="Revoke tokens, end their sessions")
    async def revoke(new: NewRevocation) -> RevocationView:
        now = hub.clock.now().wall
        revocation = Revocation(RevocationKind(new.kind), new.id, now, now + new.seconds)
        await engine.revoke(revocation)
        return RevocationView(kind=new.kind, id=new.id, at=now, until=revocation.until)

    @router.delete("/revocations/{kind}/{id:path}", status_code=204, dependencies=[allowed], summary="Take one back")
    async def pardon(kind: RevocationKind, id: str) -> Response:  # noqa: A002 - a word of the path
        now = hub.clock.now().wall
        await engine.revoke(Revocation(kind, id, now, now))
        return Response(status_code=204)

    @router.post(
        "/turn/revoke",
        status_code=202,
        response_class=Response,
        dependencies=[allowed],
        summary="Revoke TURN credentials",
    )
    async def revoke_turn(asked: TurnRevocation) -> Response:
        if hub.rights.command is None:
            raise RefusedError(_UNLINKED)
        hub.rights.withdraw_all(asked.user, "revoked by a back end")
        return Response(status_code=202)


def _found(hub: Hub, sid: str) -> Client:
    client = hub.roster.get(sid)
    if client is None:
        raise RefusedError(Refusal(ErrorCode.NOT_FOUND, "no such session is on this node"))
    return client
