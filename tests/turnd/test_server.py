"""The loop between core, engine and streams: effects in their order, failures back in, time on one timer."""

import asyncio
import contextlib
import dataclasses
import resource
import select
import socket
import time

import pytest

from fairlead.datagram import Address, Transport
from fairlead.reasons import Reason
from fairlead.stun.attributes import REQUESTED_TRANSPORT, UDP
from fairlead.stun.header import Class, Method
from fairlead.stun.message import decode
from tests.loopback import quiet_port
from tests.turnd.conftest import Settle, Sockets, Start, require_native
from tests.turnd.wire import WAIT, StreamClient, WireClient, receive
from turnd.daemon import Turnd
from turnd.dataplane.contract import Usage
from turnd.protocol.effects import Ended, EndReason
from turnd.server import Event

UDP_RELAY = ((REQUESTED_TRANSPORT, UDP),)


class Witness:
    """A watcher that keeps what it is told."""

    def __init__(self, daemon: Turnd) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        daemon.server.watchers.append(self._see)

    def _see(self, event: Event, usage: Usage | None) -> None:
        self.events.put_nowait(event)

    async def next(self, kind: type[Event]) -> Event:
        """The next event of a kind; others are passed over."""
        while True:
            event = await asyncio.wait_for(self.events.get(), WAIT)
            if isinstance(event, kind):
                return event


async def test_the_timer_ends_what_nobody_refreshes(settle: Settle, start: Start, sockets: Sockets) -> None:
    daemon = await start(settle(lifetime={"default": 1, "max": 1}))
    witness, began = Witness(daemon), time.monotonic()
    await sockets.client(daemon).allocate()
    ended = await witness.next(Ended)
    assert isinstance(ended, Ended)
    assert ended.reason is EndReason.EXPIRED
    assert 0.9 < ended.seconds < time.monotonic() - began


async def test_nothing_passes_what_has_ended_while_python_stands_still(
    settle: Settle, start: Start, sockets: Sockets
) -> None:
    """Whoever starves the loop delays the withdrawal; the packets end in time all the same."""
    daemon = await start(settle(lifetime={"default": 3, "max": 3}))
    client, peer = sockets.client(daemon), sockets.peer()
    relayed = await client.allocate()
    assert await client.bind(0x4000, Address(*peer.getsockname())) == 0
    assert await _passes(client, peer, relayed) == (True, True)
    time.sleep(3.2)  # noqa: ASYNC251 - the loop is what is to stand still
    client.send(b"\x40\x00\x00\x02up")
    peer.sendto(b"down", relayed)
    time.sleep(0.2)  # noqa: ASYNC251 - what was sent arrives while it still does
    for end in (client.socket, peer):
        with pytest.raises(BlockingIOError):
            end.recv(100)


async def _passes(client: WireClient, peer: socket.socket, relayed: Address) -> tuple[bool, bool]:
    client.send(b"\x40\x00\x00\x02up")
    up = await receive(peer)
    peer.sendto(b"down", relayed)
    down = await receive(client.socket)
    return up == (b"up", relayed), down[0] == b"\x40\x00\x00\x04down"


async def test_a_port_of_another_program_costs_one_more_try(settle: Settle, start: Start, sockets: Sockets) -> None:
    taken = quiet_port(socket.SOCK_DGRAM)
    with socket.socket(type=socket.SOCK_DGRAM) as foreign:
        foreign.bind(("127.0.0.1", taken))
        ports = f"{taken}-{taken + 1}"
        daemon = await start(settle(relay={"address": ["127.0.0.1"], "ports": ports}))
        relayed = await sockets.client(daemon).allocate()
        assert relayed.port == taken + 1
        assert await sockets.client(daemon).code(Method.ALLOCATE, *UDP_RELAY) == 508


async def test_without_descriptors_the_answer_is_508_and_others_live_on(
    settle: Settle, start: Start, sockets: Sockets
) -> None:
    daemon = await start(settle())
    living, late = sockets.client(daemon), sockets.client(daemon)
    await living.allocate()
    await late.code(Method.REFRESH)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as highest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest.fileno(), before[1]))
    try:
        assert await late.code(Method.ALLOCATE, *UDP_RELAY) == 508
        assert await living.code(Method.REFRESH) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert await late.allocate()


@pytest.mark.parametrize("bytes_sent", [b"\x80" * 20, b"\x00\x01\x00\x00" + b"\x80" * 16])
async def test_bytes_that_are_no_message_end_their_stream_and_are_counted(
    settle: Settle, start: Start, bytes_sent: bytes
) -> None:
    daemon = await start(settle())
    reader, writer = await asyncio.open_connection(*_tcp(daemon))
    writer.write(bytes_sent)
    assert await asyncio.wait_for(reader.read(), WAIT) == b""
    writer.close()
    dropped = daemon.server.relay.state.counters.dropped
    assert dropped[Reason.NOT_STUN] + dropped[Reason.BAD_COOKIE] == 1


def _tcp(daemon: Turnd) -> Address:
    return next(row.address for row in daemon.listening.targets() if row.transport is Transport.TCP)


async def test_an_allocate_may_wait_while_its_listener_is_closed(
    settle: Settle, start: Start, sockets: Sockets
) -> None:
    """It is too late for the answer, and the allocation lives out its time."""
    require_native()
    short = {"engine": "native", "lifetime": {"default": 1, "max": 1}}
    daemon = await start(settle(**short))
    witness, client = Witness(daemon), sockets.client(daemon)
    assert await client.code(Method.REFRESH) == 437
    client.send(client.request(Method.ALLOCATE, *UDP_RELAY))
    # The loop does not run: what the engine has received waits.
    select.select([daemon.server.engine.fileno()], [], [], WAIT)
    await daemon.reload(settle(**short, listen=["udp://127.0.0.2:0"]))
    ended = await witness.next(Ended)
    assert isinstance(ended, Ended)
    assert ended.five_tuple.client == client.address
    assert daemon.server.relay.deadline() is None


@pytest.mark.parametrize("engine", ["python", "native"])
async def test_the_reply_to_a_congested_stream_arrives_behind_what_was_relayed(
    settle: Settle, start: Start, sockets: Sockets, engine: str
) -> None:
    """Over a stream nobody asks twice: a Refresh that was carried out and not answered would end the call."""
    if engine == "native":
        require_native()
    daemon = await start(settle(engine=engine))
    peer, dropped = sockets.peer(), daemon.server.relay.state.counters.dropped
    with contextlib.closing(StreamClient(_tcp(daemon))) as client:
        relayed = await client.allocate()
        assert await client.bind(0x4000, Address(*peer.getsockname())) == 0
        while not dropped[Reason.SEND_BUFFER]:
            for _ in range(20):
                peer.sendto(bytes(1100), relayed)
            await asyncio.sleep(0.001)
        assert await client.code(Method.REFRESH) == 0


@pytest.mark.logs_error("Exception in callback")
async def test_a_mistake_of_ours_over_one_message_costs_no_other_client_its_own(
    settle: Settle, start: Start, sockets: Sockets
) -> None:
    daemon = await start(settle(engine="python"))
    unlucky, other = sockets.client(daemon), sockets.client(daemon)
    for client in (unlucky, other):
        assert await client.code(Method.REFRESH) == 437
    state = daemon.server.relay.state
    state.settings = dataclasses.replace(state.settings, default_lifetime=1 << 40, max_lifetime=1 << 40)
    unlucky.send(unlucky.request(Method.ALLOCATE, *UDP_RELAY))
    other.send(other.request(Method.REFRESH))
    assert decode((await receive(other.socket))[0]).message_class is Class.ERROR
