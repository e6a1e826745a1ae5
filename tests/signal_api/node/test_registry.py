"""Ids of clients' own choice, in rooms that an engine keeps."""

import asyncio

from signal_api.clients import Client
from signal_api.engine.contract import Stored
from signal_api.engine.memory import MemoryEngine
from signal_api.node.registry import Registry
from signal_api.protocol.claims import Claim
from signal_api.protocol.refusals import CloseCode, EngineUnavailableError, ErrorCode, Refusal
from tests.signal_api.socketless import Node, Seat
from tests.signal_api.worlds import token

ROOM = "peerjs:peerjs"


async def _claimed(node: Node, seat: Seat, peer: str, owner: str = "o") -> ErrorCode | None:
    refusal = await Registry(node.hub, node.engine).claim(seat.client, ROOM, Claim(peer, owner), 3)
    return refusal.code if refusal is not None else None


async def test_a_claim_is_answered_by_a_short_joined_and_the_ids_are_there() -> None:
    node = Node()
    first, second = await node.enter(), await node.enter()
    first.news()
    assert await _claimed(node, first, "alice") is None
    (joined,) = first.news()
    assert (joined["type"], joined["room"], joined.get("data")) == ("joined", ROOM, None)
    assert await _claimed(node, second, "alice", "another") is ErrorCode.ID_TAKEN
    assert await _claimed(node, second, "bob") is None
    assert await Registry(node.hub, node.engine).ids(ROOM) == ["alice", "bob"]
    assert await Registry(node.hub, node.engine).ids("nowhere") == []
    assert (node.instruments.joins["joined",], node.instruments.joins["refused",]) == (2, 1)


async def test_an_owner_ends_its_older_session() -> None:
    node = Node()
    old, new = await node.enter(), await node.enter()
    await _claimed(node, old, "alice")
    assert await _claimed(node, new, "alice") is None
    assert old.line.closed is CloseCode.REPLACED
    await node.hub.settled()
    assert await Registry(node.hub, node.engine).ids(ROOM) == ["alice"]


async def test_what_the_token_does_not_grant() -> None:
    node = Node()
    elsewhere = await node.enter(token=token(node.clock, rooms=["meeting"]))
    assert await _claimed(node, elsewhere, "alice") is ErrorCode.FORBIDDEN
    guest = await node.enter(token=token(node.clock, can=["join"]))
    assert await _claimed(node, guest, "alice") is ErrorCode.ROOM_NOT_FOUND
    await _claimed(node, await node.enter(), "bob")
    assert await _claimed(node, guest, "alice") is None


async def test_who_leaves_leaves_the_id() -> None:
    node = Node()
    seat = await node.enter()
    await _claimed(node, seat, "alice")
    assert isinstance(seat.client, Client)
    node.hub.end(seat.client)
    await node.hub.settled()
    assert await _claimed(node, await node.enter(), "alice", "another") is None


async def test_rooms_that_cannot_be_reached() -> None:
    node = Node()
    seat = await node.enter()
    registry = Registry(node.hub, Unreachable(node.clock))
    refusal = await registry.claim(seat.client, ROOM, Claim("alice", "o"), 3)
    ids = await registry.ids(ROOM)
    for one in (refusal, ids):
        assert isinstance(one, Refusal)
        assert one.code is ErrorCode.ENGINE_UNAVAILABLE


class Unreachable(MemoryEngine):
    """A store that is out of reach."""

    async def load(self, name: str) -> Stored:
        raise EngineUnavailableError("no answer")


async def test_who_ends_its_session_while_it_claims_an_id_leaves_nothing_behind() -> None:
    node = Node()
    seat = await node.enter()
    async with seat.client.turn:
        claiming = asyncio.create_task(_claimed(node, seat, "alice"))
        await asyncio.sleep(0)  # From here on it waits for its turn.
        node.hub.end(seat.client)
    assert await claiming is ErrorCode.SESSION_EXPIRED
    await node.hub.settled()
    assert node.engine.census() == (0, 0)
