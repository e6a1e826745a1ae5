"""The gateway on real sockets, message by message, as PeerJS speaks."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from signal_api.protocol.effects import ClosedReason, Expel
from signal_api.protocol.peerjs import ALIVE_FOR, EXPIRE_AFTER, MOST_WAITING
from signal_api.protocol.refusals import CloseCode
from tests.signal_api.service import Peer, Service
from tests.signal_api.worlds import JOIN_KEY, token

PAYLOAD = {"sdp": {"type": "offer", "sdp": "v=0"}, "type": "data", "connectionId": "dc_1"}


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service(peerjs__open=True) as running:
        yield running


async def dial(service: Service, peer: str, **query: str) -> Peer:
    asked = {"key": "peerjs", "id": peer, "token": f"token of {peer}", "version": "1.5.5"} | query
    return await service.dial(f"/peerjs?{urlencode(asked)}", subprotocols=None)


async def enter(service: Service, peer: str, **query: str) -> Peer:
    entered = await dial(service, peer, **query)
    assert await next_of(entered) == {"type": "OPEN"}
    return entered


async def next_of(peer: Peer) -> dict[str, Any]:
    async with asyncio.timeout(20):
        message: dict[str, Any] = json.loads(await peer.socket.recv())
    return message


async def nothing_for(peer: Peer, other: Peer, name: str) -> None:
    """What comes next is the marker that the other sends now: before it there was nothing."""
    await other.say("CANDIDATE", dst=name, payload={"marker": True})
    assert (await next_of(peer))["payload"] == {"marker": True}


async def settle(peer: Peer, name: str) -> None:
    """Returns when the server has handled all that this peer said."""
    await nothing_for(peer, peer, name)


@pytest.mark.parametrize("word", ["OFFER", "ANSWER", "CANDIDATE"])
async def test_messages_arrive_with_their_sender(service: Service, word: str) -> None:
    alice, bob = await enter(service, "alice"), await enter(service, "bob")
    await alice.say(word, dst="bob", src="forged", payload=PAYLOAD)
    assert await next_of(bob) == {"type": word, "src": "alice", "dst": "bob", "payload": PAYLOAD}
    assert service.instruments.relayed[word.lower(),] == 1
    assert service.instruments.connections["peerjs",] == 2


@pytest.mark.parametrize("word", ["LEAVE", "EXPIRE"])
async def test_leave_and_expire_go_to_whom_they_name(service: Service, word: str) -> None:
    alice, bob = await enter(service, "alice"), await enter(service, "bob")
    await alice.say(word, dst="bob")
    assert await next_of(bob) == {"type": word, "src": "alice", "dst": "bob"}
    await alice.say(word, dst="nobody")
    await settle(alice, "alice")
    service.pass_time(EXPIRE_AFTER)
    await nothing_for(alice, bob, "alice")


async def test_leave_without_dst_ends_it(service: Service) -> None:
    alice, bob = await enter(service, "alice"), await enter(service, "bob")
    await alice.say("LEAVE")
    assert await alice.end() == CloseCode.NORMAL
    await enter(service, "alice", token="somebody else")
    await nothing_for(bob, await enter(service, "carol"), "bob")


async def test_a_lost_socket_is_nobodys_business(service: Service) -> None:
    """LEAVE would make every client close the calls that go on between the two."""
    alice, bob = await enter(service, "alice"), await enter(service, "bob")
    alice.socket.transport.abort()
    again = await enter(service, "alice")
    await nothing_for(bob, again, "bob")


async def test_an_id_belongs_to_its_token(service: Service) -> None:
    alice = await enter(service, "alice")
    thief = await dial(service, "alice", token="another")
    assert await next_of(thief) == {"type": "ID-TAKEN", "payload": {"msg": "ID is taken"}}
    assert await thief.end() == CloseCode.FORBIDDEN
    bob = await enter(service, "bob")
    await bob.say("OFFER", dst="alice", payload=PAYLOAD)
    assert (await next_of(alice))["src"] == "bob"


async def test_its_owner_takes_over_and_is_told(service: Service) -> None:
    """PeerServer sends no OPEN here, and peer.reconnect() never ends."""
    old, bob = await enter(service, "alice"), await enter(service, "bob")
    new = await enter(service, "alice")
    assert await old.end() == CloseCode.REPLACED
    await bob.say("OFFER", dst="alice", payload=PAYLOAD)
    assert (await next_of(new))["type"] == "OFFER"
    await new.say("ANSWER", dst="bob", payload=PAYLOAD)
    assert (await next_of(bob))["type"] == "ANSWER"


async def test_messages_wait_for_who_comes_within_seconds_in_their_order(service: Service) -> None:
    alice = await enter(service, "alice")
    for number in range(5):
        await alice.say("CANDIDATE", dst="bob", payload={"number": number})
    await settle(alice, "alice")
    service.pass_time(EXPIRE_AFTER - 0.1)
    bob = await enter(service, "bob")
    await alice.say("CANDIDATE", dst="bob", payload={"number": 5})
    assert [(await next_of(bob))["payload"]["number"] for _ in range(6)] == list(range(6))
    service.pass_time(EXPIRE_AFTER)
    await nothing_for(alice, bob, "alice")


async def test_what_waits_too_long_expires_once(service: Service) -> None:
    alice = await enter(service, "alice")
    for _ in range(3):
        await alice.say("OFFER", dst="bob", payload=PAYLOAD)
    await settle(alice, "alice")
    service.pass_time(EXPIRE_AFTER)
    assert await next_of(alice) == {"type": "EXPIRE", "src": "bob", "dst": "alice"}
    bob = await enter(service, "bob")
    await nothing_for(alice, bob, "alice")
    await nothing_for(bob, alice, "bob")


@pytest.mark.parametrize("absent", ["*", "x" * 65, "no/id"])
async def test_who_cannot_be_there_expires_as_well(service: Service, absent: str) -> None:
    alice, bob = await enter(service, "alice"), await enter(service, "bob")
    for word in ("OFFER", "EXPIRE"):
        await alice.say(word, dst=absent, payload=PAYLOAD)
    await settle(alice, "alice")
    service.pass_time(EXPIRE_AFTER)
    assert await next_of(alice) == {"type": "EXPIRE", "src": absent, "dst": "alice"}
    await nothing_for(bob, alice, "bob")


async def test_no_more_than_so_much_waits(service: Service) -> None:
    alice = await enter(service, "alice")
    for number in range(MOST_WAITING + 1):
        await alice.say("OFFER", dst=f"peer{number}", payload=PAYLOAD)
    assert (await next_of(alice))["src"] == f"peer{MOST_WAITING}"


async def test_what_waits_goes_with_its_sender(service: Service) -> None:
    alice = await enter(service, "alice")
    await alice.say("OFFER", dst="bob", payload=PAYLOAD)
    await settle(alice, "alice")
    await alice.say("LEAVE")
    await alice.end()
    bob = await enter(service, "bob")
    service.pass_time(EXPIRE_AFTER)
    await nothing_for(bob, await enter(service, "carol"), "bob")


async def test_silence_ends_it_and_a_heartbeat_does_not(service: Service) -> None:
    alice, bob = await enter(service, "alice"), await enter(service, "bob")
    service.pass_time(ALIVE_FOR - 1)
    await settle(alice, "alice")
    service.pass_time(1)
    assert await bob.end() == CloseCode.PING_TIMEOUT
    service.pass_time(ALIVE_FOR - 1.5)
    assert alice.socket.close_code is None
    service.pass_time(0.5)
    assert await alice.end() == CloseCode.PING_TIMEOUT


@pytest.mark.parametrize("query", ["", "key=peerjs&id=a", "key=peerjs&token=t", "id=a&token=t", "key=&id=&token="])
async def test_a_parameter_is_missing(service: Service, query: str) -> None:
    peer = await service.dial(f"/peerjs?{query}", subprotocols=None)
    complaint = {"msg": "No id, token, or key supplied to websocket server"}
    assert await next_of(peer) == {"type": "ERROR", "payload": complaint}
    assert await peer.end() == CloseCode.BAD_REQUEST


async def test_a_key_that_is_none(service: Service) -> None:
    peer = await dial(service, "alice", key="other")
    assert await next_of(peer) == {"type": "INVALID-KEY", "payload": {"msg": "Invalid key provided"}}
    assert await peer.end() == CloseCode.UNAUTHORIZED


async def test_an_id_that_is_none(service: Service) -> None:
    peer = await dial(service, "*")
    assert (await next_of(peer))["type"] == "ERROR"
    assert await peer.end() == CloseCode.BAD_REQUEST


async def test_peers_of_one_key_do_not_find_those_of_another() -> None:
    async with Service(peerjs__open=True, peerjs__keys=["one", "two"]) as service:
        alice = await enter(service, "alice", key="one")
        await enter(service, "bob", key="two")
        await alice.say("OFFER", dst="bob", payload=PAYLOAD)
        await settle(alice, "alice")
        service.pass_time(EXPIRE_AFTER)
        assert (await next_of(alice))["type"] == "EXPIRE"


@pytest.mark.parametrize("word", ["OFFER", "WHAT", "OPEN"])
async def test_what_is_not_understood_is_passed_over(service: Service, word: str) -> None:
    alice = await enter(service, "alice")
    await alice.socket.send(json.dumps({"type": word, "payload": "no dst"}))
    await alice.socket.send("garbage")
    await nothing_for(alice, await enter(service, "bob"), "alice")


async def test_bytes_are_no_messages(service: Service) -> None:
    alice = await enter(service, "alice")
    await alice.socket.send(b'{"type":"HEARTBEAT"}')
    assert await alice.end() == CloseCode.BAD_REQUEST


async def test_the_limits_of_all_sessions_hold(service: Service) -> None:
    alice = await enter(service, "alice")
    bob = await enter(service, "bob")
    await alice.say("OFFER", dst="bob", payload={"sdp": "x" * 66000})
    assert await alice.end() == CloseCode.FRAME_TOO_LARGE
    for _ in range(service.hub.policy.limits.frame_burst * 2 + 2):
        await bob.say("HEARTBEAT")
    assert await bob.end() == CloseCode.RATE_LIMITED
    assert service.instruments.rate_limited["frames",] > 0


@pytest.mark.parametrize("limit", [{"peerjs__peers": 2}, {"limits__sessions": 2}])
async def test_no_more_peers_than_fit(limit: dict[str, int]) -> None:
    async with Service(peerjs__open=True, **limit) as service:
        await enter(service, "alice")
        await enter(service, "bob")
        carol = await dial(service, "carol")
        assert (await next_of(carol))["type"] == "ERROR"
        assert await carol.end() == CloseCode.OVER_CAPACITY
        assert len(service.hub.roster) == 2


async def test_pages_of_others_stay_outside(service: Service) -> None:
    with pytest.raises(InvalidStatus) as caught:
        await service.dial("/peerjs?key=peerjs&id=a&token=t", subprotocols=None, origin=Origin("http://evil.example"))
    assert caught.value.response.status_code == 403


async def test_there_is_a_gateway_where_it_is_configured() -> None:
    async with Service(peerjs__open=True, peerjs__path="/myapp/") as service:
        peer = await service.dial("/myapp/peerjs?key=peerjs&id=a&token=t", subprotocols=None)
        assert (await next_of(peer))["type"] == "OPEN"
        with pytest.raises(InvalidStatus):
            await service.dial("/peerjs?key=peerjs&id=a&token=t")
    async with Service(peerjs__keys=[]) as service:
        with pytest.raises(InvalidStatus):
            await service.dial("/peerjs?key=peerjs&id=a&token=t")


# Who may come in


async def test_a_random_token_is_not_enough_by_default() -> None:
    async with Service() as service:
        peer = await dial(service, "alice")
        assert await next_of(peer) == {"type": "ERROR", "payload": {"msg": "the token is not accepted"}}
        assert await peer.end() == CloseCode.UNAUTHORIZED
        assert service.instruments.auth_failures["malformed",] == 1
        assert len(service.hub.roster) == 0


async def test_a_jwt_lets_in_and_its_user_owns_the_id() -> None:
    async with Service() as service:
        old = await enter(service, "phone", token=token(service.clock, "alice"))
        service.pass_time(1)
        thief = await dial(service, "phone", token=token(service.clock, "bob"))
        assert (await next_of(thief))["type"] == "ID-TAKEN"
        new = await enter(service, "phone", token=token(service.clock, "alice"))
        assert await old.end() == CloseCode.REPLACED
        assert new.socket.close_code is None


async def test_a_connection_ends_with_its_jwt() -> None:
    async with Service() as service:
        peer = await enter(service, "phone", token=token(service.clock, lifetime=60))
        service.pass_time(60)
        assert await peer.end() == CloseCode.TOKEN_EXPIRED
        late = await dial(service, "phone", token=token(service.clock, lifetime=-1))
        assert "expired" in (await next_of(late))["payload"]["msg"]
        assert await late.end() == CloseCode.TOKEN_EXPIRED


async def test_a_jwt_that_does_not_name_the_room() -> None:
    async with Service() as service:
        peer = await dial(service, "alice", token=token(service.clock, rooms=["meeting"]))
        assert (await next_of(peer))["type"] == "ERROR"
        await enter(service, "alice", token=token(service.clock, rooms=["peerjs:peerjs"]))


async def test_the_join_key_is_a_key_and_ids_stay_with_their_tokens() -> None:
    async with Service() as service:
        await enter(service, "alice", key=JOIN_KEY)
        thief = await dial(service, "alice", key=JOIN_KEY, token="another")
        assert (await next_of(thief))["type"] == "ID-TAKEN"


async def test_the_demo_lets_in_who_sits_here() -> None:
    async with Service(demo=True, jwt=None, join_key=None) as service:
        await enter(service, "alice")


async def test_a_member_by_sig_v1_meets_a_peer() -> None:
    """They see each other in one room, and one who knows PeerJS's payloads can call the other."""
    async with Service(peerjs__open=True) as service:
        alice = await enter(service, "alice")
        member = await service.enter()
        await member.say("join", room="peerjs:peerjs")
        joined = (await member.hear("joined"))["data"]
        assert [other["id"] for other in joined["members"]] == ["alice"]
        assert "token" not in str(joined["members"])
        await member.say("offer", room="peerjs:peerjs", to="alice", data=PAYLOAD)
        offer = await next_of(alice)
        assert (offer["type"], offer["src"], offer["payload"]) == ("OFFER", joined["self"]["id"], PAYLOAD)
        await alice.say("ANSWER", dst=offer["src"], payload=PAYLOAD)
        answer = await member.hear("answer")
        assert (answer["from"], answer["data"]) == ("alice", PAYLOAD)
        await alice.say("LEAVE")
        await alice.end()
        service.pass_time(0.05)
        left = (await member.hear("member.left"))["data"]["members"]
        assert left == [{"id": "alice", "reason": "leave"}]


async def test_a_room_that_is_closed_ends_its_peers() -> None:
    async with Service() as service:
        alice = await enter(service, "alice", token=token(service.clock))
        member = await service.enter()
        await member.say("join", room="peerjs:peerjs")
        await member.hear("joined")
        (sid,) = (client.sid for client in service.hub.roster if client.grants.user == "alice")
        await service.engine.publish((Expel((sid,), "peerjs:peerjs", ClosedReason.CLOSED),))
        assert await alice.end() == CloseCode.ROOM_CLOSED


async def test_lost_news_of_a_peer_cost_time_and_no_message(service: Service) -> None:
    alice = await enter(service, "alice")
    await alice.say("OFFER", dst="bob", payload=PAYLOAD)
    await settle(alice, "alice")
    (client,) = service.hub.roster
    client.on_news = lambda _: None
    bob = await enter(service, "bob")
    service.pass_time(EXPIRE_AFTER)
    assert (await next_of(bob))["type"] == "OFFER"
    await nothing_for(alice, bob, "alice")
