"""Rooms, as back ends see and change them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from signal_api.admin.guard import granted, needs
from signal_api.admin.shapes import BanView, Kick, Kicked, NewBan, NewRoom, Page, RoomChange, RoomView, json_of
from signal_api.api_keys import ApiKey, Scope
from signal_api.engine.contract import Engine
from signal_api.node.admission import meta_refusal
from signal_api.node.hub import Hub
from signal_api.node.steward import Steward
from signal_api.protocol.moderation import Alteration, Who
from signal_api.protocol.refusals import ErrorCode, Refusal
from signal_api.protocol.rooms import MAX_META, Change, Room
from signal_api.web.problems import RefusedError

_ABSENT = Refusal(ErrorCode.ROOM_NOT_FOUND, "there is no such room")
#: A name may have slashes in it.
Name = Annotated[str, Path(min_length=1, max_length=128)]
After = Annotated[str, Query(max_length=128, description="`next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=1000)]


def add_moderation(router: APIRouter, hub: Hub, engine: Engine, steward: Steward) -> None:
    """Adds the routes that end in a verb; they stand before those that end in a name."""
    moderate = needs(hub, Scope.MODERATE)
    Moderator = Annotated[ApiKey, Depends(moderate)]  # noqa: N806 - a type

    @router.get("/rooms/{name:path}/bans", dependencies=[Depends(moderate)], summary="Who is kept out of a room")
    async def list_bans(name: Name) -> Page[BanView]:
        room = (await engine.load(name)).room
        now = hub.clock.now().wall
        bans = [BanView.of(ban) for ban in room.bans.values() if ban.until > now] if room is not None else []
        return Page(items=sorted(bans, key=lambda ban: ban.until), next=None)

    @router.post("/rooms/{name:path}/bans", summary="Keep a user out of a room, and send out who is there")
    async def ban(name: Name, new: NewBan, key: Moderator) -> Kicked:
        return _kicked(await steward.kick(name, Who(user=new.user), new.seconds, key.name))

    @router.delete(
        "/rooms/{name:path}/bans/{user:path}",
        status_code=204,
        dependencies=[Depends(moderate)],
        summary="Take a ban back",
    )
    async def unban(name: Name, user: str) -> Response:
        granted(await steward.lift(name, user))
        return Response(status_code=204)

    @router.post("/rooms/{name:path}/kick", summary="Send a member out, and keep its user out")
    async def kick(name: Name, asked: Kick, key: Moderator) -> Kicked:
        if (asked.member is None) == (asked.user is None):
            raise RefusedError(Refusal(ErrorCode.BAD_REQUEST, "name a member or a user"))
        return _kicked(await steward.kick(name, Who(asked.member, asked.user), asked.seconds, key.name))


def add_rooms(router: APIRouter, hub: Hub, engine: Engine, steward: Steward) -> None:
    """Adds the routes of rooms by their names."""
    read, write = Depends(needs(hub, Scope.ROOMS_READ)), Depends(needs(hub, Scope.ROOMS_WRITE))

    async def view(name: str) -> RoomView:
        room, now = (await engine.load(name)).room, hub.clock.now().wall
        if room is None or (room.until is not None and room.until <= now):
            raise RefusedError(_ABSENT)
        return RoomView.of(room, now)

    async def view_of_what_is_left(name: str) -> RoomView:
        """After a change that was made: a room that is not kept is gone with it, when nobody is in it."""
        room = (await engine.load(name)).room
        return RoomView.of(room or Room(name, {}), hub.clock.now().wall)

    @router.get("/rooms", dependencies=[read], summary="Rooms, by name")
    async def list_rooms(after: After = "", limit: Limit = 100) -> Page[RoomView]:
        rooms = await engine.rooms(after, limit)
        now = hub.clock.now().wall
        views = [RoomView.of(room, now) for room in rooms]
        return Page(items=views, next=rooms[-1].name if len(rooms) == limit else None)

    @router.post("/rooms", status_code=201, dependencies=[write], summary="Open a room")
    async def create(new: NewRoom) -> RoomView:
        granted(await steward.establish(new.name, _alteration(new, whole=True)))
        return await view_of_what_is_left(new.name)

    @router.get("/rooms/{name:path}", dependencies=[read], summary="A room with its members")
    async def get(name: Name) -> RoomView:
        return await view(name)

    @router.patch("/rooms/{name:path}", dependencies=[write], summary="Change what holds in a room")
    async def patch(name: Name, change: RoomChange) -> RoomView:
        granted(await steward.alter(name, _alteration(change)))
        return await view_of_what_is_left(name)

    @router.delete("/rooms/{name:path}", status_code=204, dependencies=[write], summary="Close a room")
    async def close(name: Name) -> Response:
        granted(await steward.close(name))
        return Response(status_code=204)


def _alteration(asked: RoomChange, whole: bool = False) -> Alteration:
    """What is said of a room; what was left out is not in it, unless the whole is wanted."""
    said = set(RoomChange.model_fields) if whole else asked.model_fields_set
    values = {field: getattr(asked, field) for field in said - {"meta", "roles"}}
    if "meta" in said:
        meta = json_of(asked.meta, MAX_META)
        granted(meta_refusal(meta))
        values["meta"] = meta
    if "roles" in said:
        values["roles"] = {role: tuple(abilities) for role, abilities in asked.roles.items()}
    return Alteration(**values)


def _kicked(change: Change | Refusal) -> Kicked:
    if isinstance(change, Refusal):
        raise RefusedError(change)
    guests = [member.id for member in change.gone if member.user is None]
    return Kicked(members=[member.id for member in change.gone], guests=guests)
