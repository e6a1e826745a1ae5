"""One trust domain: what ends in signaling ends in the relay, between processes as they are deployed."""

import signal
import time
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from fairlead.datagram import Address, Transport
from signal_api.protocol.refusals import CloseCode
from tests.processes import FAR_FUTURE, PATIENCE, Daemons, wait_for
from tests.redis_server import RedisServer
from tests.system.calls import CHANNEL
from tests.system.members import Member, Pair, Session
from tests.turn_client import Sockets

KEY = "a shared secret of thirty-two bytes"
JWT = {"issuer": "us", "keys": [{"id": "k", "algorithm": "HS256", "key": KEY}]}


def _token(user: str, jti: str = "", **grant: Any) -> str:
    claims = {"iss": "us", "aud": "signal", "sub": user, "exp": FAR_FUTURE, "sig": {"rooms": ["r"]} | grant}
    claims |= {"jti": jti} if jti else {}
    return jwt.encode(claims, KEY, "HS256")


@pytest.fixture
def pair(daemons: Daemons, tmp_path: Path) -> Pair:
    return Pair(daemons, tmp_path)


#: looks within the second that is promised, each with an answer of both daemons: who is slow for us has more time
_LOOKS = 20


def _assert_dead(pair: Pair, member: Member) -> None:
    """Within a second from now nothing passes any more, and the old credential opens nothing."""
    user = member.credential[0].partition(":")[2]
    looks = 0
    while user not in [record["value"] for record in pair.turnd.records("revoked")]:
        assert looks < _LOOKS
        for daemon in (pair.signal_api, pair.turnd):
            assert daemon.get("/healthz")[0] == 200
        time.sleep(1 / _LOOKS)  # What is promised is a time; there is no clock to pass.
        looks += 1
    member.call.assert_is_cut(counted=2)
    assert member.another().allocate().code == 401


def test_who_leaves_the_room_leaves_the_relay(pair: Pair, sockets: Sockets) -> None:
    leaver, stayer = Member(pair, sockets, "r"), Member(pair, sockets, "r")
    leaver.session.say("leave", room="r", id="l")
    leaver.session.hear("ok")
    _assert_dead(pair, leaver)
    stayer.call.assert_goes_on()
    assert stayer.another().allocate().code == 0

    again = leaver.session.join("r")
    leaver.joined = again
    assert leaver.another().allocate().code == 0


def test_the_last_turnd_that_drains_says_so_and_keeps_its_calls(pair: Pair, sockets: Sockets) -> None:
    member = Member(pair, sockets, "r")
    pair.turnd.signal(signal.SIGTERM)
    told = member.session.hear("ice")["data"]
    assert told["restart"] is False
    assert "only TURN server" in told["message"]
    member.call.assert_goes_on()


def test_what_ended_stays_ended_when_turnd_starts_anew(pair: Pair, sockets: Sockets, daemons: Daemons) -> None:
    member = Member(pair, sockets, "r")
    member.session.say("leave", room="r")
    pair.turnd.await_record("revoked")
    address = pair.turnd.address("udp")
    pair.turnd.kill()
    pair.turnd = pair.start_turnd(daemons, listen=[f"udp://{address}"])
    pair.turnd.await_record("revoked")
    assert member.another().allocate().code == 401


def test_a_member_reaches_what_its_room_has_announced_and_nobody_else(
    daemons: Daemons, sockets: Sockets, tmp_path: Path
) -> None:
    pair = Pair(daemons, tmp_path, signal_api={"fence": "enforce"}, relay={"address": ["127.0.0.1"]})
    caller, callee = Session(pair.signal_api, sockets), Session(pair.signal_api, sockets)
    ice, callee_id = caller.join("r")["ice"], callee.join("r")["self"]["id"]
    server = next(row for row in ice["iceServers"] if "username" in row)
    client = sockets.client(pair.turnd, Transport.TCP, username=server["username"], password=server["credential"])
    client.allocated()
    announced, hidden = Address("127.0.0.7", 9), Address("127.0.0.8", 9)
    assert client.permit(announced).code == 403
    candidate = f"candidate:1 1 udp 1 {announced.host} 9 typ host"
    caller.say("candidate", room="r", to=callee_id, data={"candidate": candidate})
    callee.hear("candidate")
    wait_for("the permission", lambda: client.permit(announced).code == 0 or None)
    assert client.permit(hidden).code == 403
    assert pair.turnd.metrics().sum("turnd_peer_denied_total", **{"class": "not_announced"}) >= 2


def test_a_budget_of_the_token_ends_the_relay_after_a_warning(
    daemons: Daemons, sockets: Sockets, tmp_path: Path
) -> None:
    pair = Pair(daemons, tmp_path, signal_api={"jwt": JWT})
    member = Member(pair, sockets, "r", _token("alice", relay={"session_bytes": 10_000}))
    member.call.client.send(CHANNEL, bytes(8000))
    assert member.session.hear("quota")["data"]["exhausted"] is False
    member.call.client.send(CHANNEL, bytes(2000))
    assert member.session.hear("quota")["data"]["exhausted"] is True
    assert member.session.hear("turn")["data"] == {"event": "ended", "reason": "quota"}
    pair.turnd.await_record("revoked")
    assert member.another().allocate().code == 401


def test_who_is_kicked_loses_token_credential_and_relay(daemons: Daemons, sockets: Sockets, tmp_path: Path) -> None:
    pair = Pair(daemons, tmp_path, signal_api={"jwt": JWT})
    moderator = Session(pair.signal_api, sockets, _token("mod", can=["join", "create", "moderate"]))
    moderator.join("r")
    hers = _token("eve", "the token by which she came")
    member = Member(pair, sockets, "r", hers)
    session = member.session
    moderator.say("kick", room="r", data={"user": "eve"}, id="k")
    moderator.hear("ok")
    assert session.hear("room.closed")["data"] == {"reason": "kicked"}
    assert session.closed() == CloseCode.KICKED
    _assert_dead(pair, member)
    assert pair.turnd.metrics().sum("turnd_allocations") == 0
    assert _resume(pair, session) == 410, "the session and its key"
    assert _open(pair, hers) == 401, "the token"
    fresh = _token("eve", "another")
    assert _open(pair, fresh) == 201
    with pytest.raises(AssertionError, match="banned"):
        Session(pair.signal_api, sockets, fresh).join("r")


def _open(pair: Pair, token: str) -> int:
    """The status of the answer to who wants a session with this token."""
    place = pair.signal_api.address("http")
    return httpx.post(
        f"http://{place}/v1/sessions", json={"v": 1, "token": token}, trust_env=False, timeout=PATIENCE
    ).status_code


def _resume(pair: Pair, session: Session) -> int:
    """The status of the answer to who asks for what a session has missed."""
    place, headers = pair.signal_api.address("http"), {"Authorization": f"Bearer {session.welcome['key']}"}
    path = f"/v1/sessions/{session.welcome['sid']}/events?wait=0"
    return httpx.get(f"http://{place}{path}", headers=headers, trust_env=False, timeout=PATIENCE).status_code


def test_all_of_it_holds_through_redis(daemons: Daemons, sockets: Sockets, tmp_path: Path) -> None:
    (folder := tmp_path / "redis").mkdir()
    redis = RedisServer(folder)
    daemons.keep(redis.kill)
    pair = Pair(daemons, tmp_path, redis=redis.url)
    leaver, stayer = Member(pair, sockets, "r"), Member(pair, sockets, "r")
    leaver.session.say("leave", room="r", id="l")
    leaver.session.hear("ok")
    _assert_dead(pair, leaver)
    stayer.call.assert_goes_on()
    redis.kill()
    stayer.call.assert_goes_on()


def test_a_room_that_is_closed_takes_its_calls_with_it(daemons: Daemons, sockets: Sockets, tmp_path: Path) -> None:
    api_key = {"name": "tests", "value": "a-key-of-a-back-end-for-tests", "scopes": ["rooms:write"]}
    pair = Pair(daemons, tmp_path, signal_api={"api_keys": [api_key]})
    members, bystander = [Member(pair, sockets, "r") for _ in range(2)], Member(pair, sockets, "other")
    place = pair.signal_api.address("http")
    headers = {"Authorization": f"Bearer {api_key['value']}"}
    assert (
        httpx.delete(f"http://{place}/v1/admin/rooms/r", headers=headers, trust_env=False, timeout=PATIENCE).status_code
        == 204
    )
    for member in members:
        member.session.hear("room.closed")
        _assert_dead(pair, member)
    bystander.call.assert_goes_on()
    members[0].joined = members[0].session.join("r")
    assert members[0].another().allocate().code == 0, "a room of the same name is another room"
