"""The link from turnd's side, over a real socket to a real client."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fairlead import link
from fairlead.credentials import mint
from fairlead.datagram import Address
from fairlead.stun.attributes import LIFETIME, REQUESTED_TRANSPORT, UDP
from fairlead.stun.header import Method
from tests.turnd.conftest import Settle, Sockets, Start
from tests.turnd.wire import WAIT, WireClient, receive
from tests.waiting import eventually
from turnd.daemon import Turnd
from turnd.liaison import Liaison
from turnd.protocol.effects import EndReason

SECRET = "a secret"
#: In a day, which all tests together do not take.
EXPIRES = int(time.time()) + 86400
ROOM = "roomroomroomroom"
SESSION = f"{ROOM}.s_sessionsessionse.nnnnnnnn"
USERNAME = f"{EXPIRES}:{SESSION}"


@pytest.fixture
def socket_path(tmp_path: Path) -> Path:
    return tmp_path / "link"


@pytest.fixture
async def linked(settle: Settle, start: Start, socket_path: Path) -> Turnd:
    """A turnd with a link and a secret."""
    top: dict[str, Any] = {
        "auth": {"secrets": [{"name": "current", "value": SECRET}]},
        "link": {"socket": str(socket_path)},
    }
    return await start(settle(top))


class SignalApi:
    """A client of the link that keeps what it hears."""

    def __init__(self, path: Path) -> None:
        self._heard: asyncio.Queue[link.Event] = asyncio.Queue()
        self.client = link.LinkClient(path, self._heard.put_nowait)
        self.client.start()

    async def next(self) -> link.Event:
        return await asyncio.wait_for(self._heard.get(), WAIT)


@pytest.fixture
async def signal_api(linked: Turnd, socket_path: Path) -> AsyncIterator[SignalApi]:
    api = SignalApi(socket_path)
    while not api.client.connected:  # noqa: ASYNC110  # a client has no event for it
        await asyncio.sleep(0)
    yield api
    await api.client.stop()


def member(sockets: Sockets, daemon: Turnd, user_id: str = SESSION, expires: int = EXPIRES) -> WireClient:
    return sockets.client(daemon, *mint(SECRET.encode(), user_id, expires))


def first(daemon: Turnd) -> int:
    """The number of the allocation that has lived longest; each run of turnd begins somewhere else."""
    return min(daemon.server.relay.state.allocations.by_id)


async def test_it_hears_of_allocations_as_they_come_and_go(
    linked: Turnd, signal_api: SignalApi, sockets: Sockets
) -> None:
    client, peer = member(sockets, linked), sockets.peer()
    relayed = await client.allocate()
    allocated = await signal_api.next()
    number = first(linked)
    assert allocated == link.Allocated(number, USERNAME, "udp", str(client.address), str(relayed))
    await client.permit(Address(*peer.getsockname()))
    peer.sendto(bytes(172), relayed)
    await receive(client.socket)
    await client.ask(Method.REFRESH, (LIFETIME, 0))
    ended = await signal_api.next()
    assert isinstance(ended, link.Ended)
    assert (ended.allocation, ended.reason) == (number, "client")
    assert ended.traffic == link.Traffic(packets_to_client=1, bytes_to_client=172)


async def test_it_hears_why_a_request_was_refused(linked: Turnd, signal_api: SignalApi, sockets: Sockets) -> None:
    client = member(sockets, linked)
    assert await client.code(Method.REFRESH) == 437
    refused = await signal_api.next()
    assert isinstance(refused, link.Refused)
    assert (refused.username, refused.method, refused.code) == (USERNAME, "refresh", 437)


async def test_usage_is_told_when_it_has_changed(linked: Turnd, signal_api: SignalApi, sockets: Sockets) -> None:
    client, peer = member(sockets, linked), sockets.peer()
    relayed = await client.allocate()
    await client.permit(Address(*peer.getsockname()))
    assert isinstance(await signal_api.next(), link.Allocated)
    assert linked.liaison is not None
    number = first(linked)
    list(linked.liaison.report_usage())
    peer.sendto(bytes(100), relayed)
    await receive(client.socket)
    list(linked.liaison.report_usage())
    list(linked.liaison.report_usage())
    linked.server.execute(
        linked.server.relay.end(
            linked.server.relay.state.allocations.by_id.values(), EndReason.ADMIN, linked.server.clock()
        )
    )
    usage, ended = await signal_api.next(), await signal_api.next()
    assert usage == link.Usage(number, USERNAME, link.Traffic(packets_to_client=1, bytes_to_client=100))
    assert isinstance(ended, link.Ended)


async def test_budgets_are_looked_at_a_portion_at_a_time(linked: Turnd, sockets: Sockets) -> None:
    """To ask the native engine for one takes 18 us: 5,000 of them held the loop for 90 ms, four times a second."""
    liaison, peer = Liaison(linked.server, lambda event: None), sockets.peer()
    living = linked.server.relay.state.allocations.by_id
    for _ in range(3):
        client = member(sockets, linked)
        relayed = await client.allocate()
        await client.permit(Address(*peer.getsockname()))
        liaison.receive(link.Budget(max(living), USERNAME, bytes=50))
        peer.sendto(bytes(100), relayed)
        await receive(client.socket)
    portions = liaison.watch_budgets(most=2)
    next(portions)
    assert len(living) == 1
    assert list(portions) == []
    assert not living


async def test_many_are_told_of_a_portion_at_a_time(linked: Turnd, sockets: Sockets) -> None:
    """The loop has other work between; who has ended meanwhile is passed over."""
    told: list[link.Event] = []
    liaison = Liaison(linked.server, told.append)
    peer = sockets.peer()
    for _ in range(3):
        client = member(sockets, linked)
        relayed = await client.allocate()
        await client.permit(Address(*peer.getsockname()))
        peer.sendto(bytes(100), relayed)
        await receive(client.socket)
    first_of_all, second, last_of_all = linked.server.relay.state.allocations.by_id.values()
    portions = liaison.report_usage(most=2)
    next(portions)
    assert [event.allocation for event in told if isinstance(event, link.Usage)] == [first_of_all.id, second.id]
    relay, now = linked.server.relay, linked.server.clock()
    linked.server.execute(relay.end([last_of_all], EndReason.ADMIN, now))
    assert list(portions) == []
    assert len(told) == 2


async def test_who_connects_later_hears_of_the_living(linked: Turnd, socket_path: Path, sockets: Sockets) -> None:
    relayed = await member(sockets, linked).allocate()
    late = SignalApi(socket_path)
    allocated = await late.next()
    await late.client.stop()
    assert isinstance(allocated, link.Allocated)
    assert allocated.relayed == str(relayed)


@pytest.mark.parametrize(
    ("by", "value"), [(link.EndBy.ALLOCATION, None), (link.EndBy.USERNAME, USERNAME), (link.EndBy.ROOM, ROOM)]
)
async def test_allocations_end_on_command(
    linked: Turnd, signal_api: SignalApi, sockets: Sockets, by: link.EndBy, value: str | None
) -> None:
    client, other = member(sockets, linked), member(sockets, linked, SESSION.replace(ROOM, "other" * 3 + "o"))
    await client.allocate()
    await other.allocate()
    number = first(linked)
    signal_api.client.send(link.End(by, value or str(number)))
    events = [await signal_api.next() for _ in range(3)]
    assert [event.allocation for event in events if isinstance(event, link.Ended)] == [number]
    assert await client.code(Method.REFRESH) == 437
    assert await other.code(Method.REFRESH) == 0


@pytest.mark.parametrize(("by", "value"), [(link.RevokeBy.USERNAME, USERNAME), (link.RevokeBy.USER, SESSION)])
async def test_a_revoked_credential_is_dead_at_once(
    linked: Turnd, signal_api: SignalApi, sockets: Sockets, by: link.RevokeBy, value: str
) -> None:
    client = member(sockets, linked)
    await client.allocate()
    signal_api.client.send(link.Revoke(by, value))
    assert isinstance(await signal_api.next(), link.Allocated)
    ended = await signal_api.next()
    assert isinstance(ended, link.Ended)
    assert ended.reason == "revoked"
    assert await client.code(Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP)) == 401


async def test_a_user_is_revoked_for_as_long_as_credentials_may_live(
    linked: Turnd, settle: Settle, signal_api: SignalApi, socket_path: Path
) -> None:
    """Whoever else makes them may make them for longer than we do, and as a reload said last."""
    authenticator, begun = linked.server.relay.state.authenticator, time.time()
    signal_api.client.send(link.Revoke(link.RevokeBy.USER, "alice"))
    until = await _revoked(linked, "alice")
    assert begun + 172800 < until < time.time() + 172800 + 61
    auth = {"secrets": [{"name": "current", "value": SECRET}], "max_lifetime": 0}
    await linked.reload(settle({"auth": auth, "link": {"socket": str(socket_path)}}))
    assert linked.server.relay.state.authenticator is not authenticator
    signal_api.client.send(link.Revoke(link.RevokeBy.USER, "bob"))
    assert await _revoked(linked, "bob") == math.inf


async def _revoked(daemon: Turnd, name: str) -> float:
    """Until when, as soon as turnd has heard of it."""
    names = daemon.server.relay.state.authenticator.revocations.names
    async with asyncio.timeout(WAIT):
        while (until := names.until(name)) == -math.inf:  # noqa: ASYNC110  # a table has no event for it
            await asyncio.sleep(0)
    return until


async def test_who_goes_by_itself_pushes_nobody_out_who_was_sent_away(linked: Turnd, signal_api: SignalApi) -> None:
    signal_api.client.send(link.Revoke(link.RevokeBy.USER, "r.s.a", "kicked", EXPIRES))
    signal_api.client.send(link.Revoke(link.RevokeBy.USER, "r.s.b", "leave", EXPIRES, parting=True))
    signal_api.client.send(link.Revoke(link.RevokeBy.USER, "last"))
    await _revoked(linked, "last")
    _, older, parted = linked.server.relay.state.authenticator.revocations
    assert [older.until(name) for name in ("r.s.a", "r.s.b")] == [EXPIRES, -math.inf]
    assert [parted.until(name) for name in ("r.s.a", "r.s.b")] == [-math.inf, EXPIRES]


async def test_an_allocation_ends_when_it_has_relayed_as_much_as_it_may(
    linked: Turnd, signal_api: SignalApi, sockets: Sockets
) -> None:
    client, peer = member(sockets, linked), sockets.peer()
    relayed = await client.allocate()
    await client.permit(Address(*peer.getsockname()))
    assert isinstance(await signal_api.next(), link.Allocated)
    number = first(linked)
    for command in (
        link.Budget(number, "another", 0),
        link.Budget(number + 8, USERNAME, 0),
        link.Budget(number, USERNAME, 200),
    ):
        signal_api.client.send(command)
    peer.sendto(bytes(150), relayed)
    await receive(client.socket)
    usage = await signal_api.next()
    assert isinstance(usage, link.Usage), "budgets are told of without waiting for the report"
    assert await client.code(Method.REFRESH) == 0
    peer.sendto(bytes(50), relayed)
    await receive(client.socket)
    assert isinstance(await signal_api.next(), link.Usage)
    ended = await signal_api.next()
    assert isinstance(ended, link.Ended)
    assert (ended.reason, ended.traffic.bytes_to_client) == ("quota", 200)
    assert await client.code(Method.REFRESH) == 437


async def test_what_is_used_up_ends_for_that_also_when_the_report_of_all_comes_first(
    linked: Turnd, signal_api: SignalApi, sockets: Sockets
) -> None:
    """Else signal_api, which hears of the last byte, would revoke the credential, and its user be told of that."""
    liaison = Liaison(linked.server, lambda _: None)
    client, peer = member(sockets, linked), sockets.peer()
    relayed = await client.allocate()
    await client.permit(Address(*peer.getsockname()))
    assert isinstance(await signal_api.next(), link.Allocated)
    liaison.receive(link.Budget(first(linked), USERNAME, 100))
    peer.sendto(bytes(100), relayed)
    await receive(client.socket)
    await eventually(lambda: list(liaison.report_usage()) or not linked.server.relay.state.allocations.by_id)
    while isinstance(ended := await signal_api.next(), link.Usage):
        pass  # turnd's own report may come between.
    assert isinstance(ended, link.Ended)
    assert ended.reason == "quota"


async def test_older_credentials_of_a_user_are_dead_and_later_ones_are_not(
    linked: Turnd, signal_api: SignalApi, sockets: Sockets
) -> None:
    older, later = member(sockets, linked, "alice"), member(sockets, linked, "alice", EXPIRES + 1)
    await older.allocate()
    await later.allocate()
    signal_api.client.send(link.Revoke(link.RevokeBy.USER, "alice", expiring=EXPIRES))
    events = [await signal_api.next() for _ in range(3)]
    ended = [(event.allocation + 1, event.reason) for event in events if isinstance(event, link.Ended)]
    assert ended == [(first(linked), "revoked")], "the later one is left"
    assert await older.code(Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP)) == 401
    assert await later.code(Method.REFRESH) == 0
    assert await member(sockets, linked, "alice", EXPIRES + 1).code(Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP)) == 0


async def test_who_is_connected_is_said_beside_readiness(linked: Turnd, signal_api: SignalApi) -> None:
    assert linked.about()["link"] == "1 connected"


async def test_a_drain_is_announced_with_the_places_that_clients_should_leave(
    linked: Turnd, signal_api: SignalApi, socket_path: Path
) -> None:
    await linked.drain()
    draining = await signal_api.next()
    assert isinstance(draining, link.Draining)
    assert "127.0.0.1" in draining.hosts
    assert {target.address.port for target in linked.listening.targets()} == set(draining.ports)
    late = SignalApi(socket_path)
    assert await late.next() == draining
    await late.client.stop()
