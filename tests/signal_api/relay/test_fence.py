"""What a room announces reaches turnd before the members hear of it, and nothing else does."""

import json
import time
from typing import Any

import pytest

from fairlead.link import Allocated, Command, Fence, FenceMode
from signal_api.relay import fence as module
from signal_api.relay.fence import Fences, announced
from signal_api.relay.ice_servers import room_hash
from tests.signal_api.socketless import Node, Seat

ROOM = room_hash("r")


def _candidate(host: str, kind: str = "srflx") -> str:
    return f"candidate:842163049 1 udp 1677729535 {host} 51234 typ {kind} raddr 10.0.0.1 rport 9 generation 0"


def test_candidates_are_found_in_candidates_and_in_sdp() -> None:
    sdp = "v=0\r\na=" + _candidate("203.0.113.9") + "\r\na=" + _candidate("2001:DB8::0:1", "relay") + "\r\na=mid:0\r\n"
    assert list(announced(json.dumps({"type": "offer", "sdp": sdp}).encode())) == ["203.0.113.9", "2001:db8::1"]
    assert list(announced(json.dumps({"candidate": _candidate("192.0.2.1", "host"), "sdpMid": "0"}).encode())) == [
        "192.0.2.1"
    ]
    assert list(announced(json.dumps([{"candidate": _candidate("192.0.2.1")}] * 2).encode())) == ["192.0.2.1"] * 2


@pytest.mark.parametrize(
    "data",
    [
        b"null",
        b"{}",
        json.dumps({"candidate": ""}).encode(),
        json.dumps({"candidate": _candidate("3f1c.local", "host")}).encode(),
        json.dumps({"candidate": _candidate("999.1.1.1")}).encode(),
        json.dumps({"candidate": _candidate("1:2:3")}).encode(),
        json.dumps({"candidate": _candidate("192.0.2.1").replace(" typ ", " kind ")}).encode(),
        b"candidate:" * 6000,
        b"candidate:a 1 udp 1 " + b"1" * 60000,
    ],
)
def test_whatever_else_stands_there_announces_nothing_in_no_time(data: bytes) -> None:
    began = time.thread_time()
    assert list(announced(data)) == []
    assert time.thread_time() - began < 0.1


def test_one_frame_announces_only_so_much() -> None:
    data = json.dumps([_candidate(f"10.0.{number}.1") for number in range(200)]).encode()
    assert len(list(announced(data))) == 64


async def _told(**keys: object) -> tuple[Node, list[Command], Seat, str]:
    """Two members of r, what turnd hears, the first member, and who the second one is."""
    node, told = Node(**keys), list[Command]()
    node.hub.fences.command = told.append
    caller, callee = await node.enter(), await node.enter()
    await caller.join("r")
    return node, told, caller, (await callee.join("r"))["self"]["id"]


async def _offer(caller: Seat, callee: str, *hosts: str, **fields: Any) -> None:
    data = [{"candidate": _candidate(host)} for host in hosts]
    await caller.say("candidates", **({"room": "r", "to": callee, "data": data} | fields))


async def test_what_members_announce_is_said_once() -> None:
    _, told, caller, callee = await _told(fence="enforce")
    assert told == [Fence(ROOM, FenceMode.ENFORCE)]
    await _offer(caller, callee, "203.0.113.9", "203.0.113.10")
    await _offer(caller, callee, "203.0.113.9")
    assert told[1:] == [Fence(ROOM, FenceMode.ENFORCE, ("203.0.113.9", "203.0.113.10"))]


async def test_what_never_arrives_announces_nothing() -> None:
    _, told, caller, callee = await _told(fence="log")
    await _offer(caller, "m_nobody", "203.0.113.9")
    await _offer(caller, callee, "203.0.113.9", room="other")
    await caller.say("message", room="r", to=callee, data={"candidate": _candidate("203.0.113.9")})
    assert told == [Fence(ROOM, FenceMode.LOG)]


async def test_nothing_is_read_while_the_fence_is_off() -> None:
    node, told, caller, callee = await _told()
    await _offer(caller, callee, "203.0.113.9")
    assert (told, len(node.hub.fences), node.hub.fences.standing()) == ([], 0, [])


async def test_where_members_are_and_what_they_were_given_is_announced() -> None:
    node, told, caller, _ = await _told(fence="enforce")
    user = caller.client.session.rooms["r"].turn_user
    allocated = Allocated(1, f"1:{user}", "udp", "198.51.100.7:5000", "[2001:db8::5]:50000")
    node.hub.fences.note(allocated, user)
    assert told[-1] == Fence(ROOM, FenceMode.ENFORCE, ("2001:db8::5", "198.51.100.7"))
    before = len(told)
    node.hub.fences.note(allocated, "alice")
    node.hub.fences.note(allocated, f"{room_hash('other')}.s.n")
    assert len(told) == before


def test_a_turnd_that_begins_anew_is_told_all_of_it_and_it_has_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HOSTS", 2)
    monkeypatch.setattr(module, "_ROOMS", 2)
    fences = Fences(FenceMode.LOG)
    fences.overhear("r", b"")
    assert len(fences) == 0, "without a link nothing is kept"
    fences.command = lambda _: None
    for room in ("a", "b", "r"):
        fences.enclose(room)
    for number in range(4):
        fences.overhear("r", _candidate(f"10.0.0.{number}").encode())
    assert fences.standing() == [
        Fence(room_hash("b"), FenceMode.LOG),
        Fence(ROOM, FenceMode.LOG, ("10.0.0.2", "10.0.0.3")),
    ]
