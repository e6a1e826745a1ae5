"""aioice, which sends all its data over channels: its TURN client, and its ICE agents relay to relay.

With the client every datagram is known, and turnd's counters are right to the byte.
"""

import asyncio
import itertools
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aioice import Connection, TransportPolicy
from aioice.turn import create_turn_endpoint

from fairlead.credentials import mint
from fairlead.datagram import Address, Transport
from tests.certificates import self_signed
from tests.interop.books import balanced
from tests.processes import SECRET, Daemon, Daemons, relay_on_loopback, wait_for

CREDENTIAL = mint(SECRET.encode(), "aioice", int(time.time()) + 3600)

#: Tagged, all different, of all lengths modulo 4 and up to what fits a packet.
TAGGED = [f"datagram {number} ".encode() + bytes(number * 7) for number in range(150)]
#: From a peer for whom there is no channel.
STRAYS = [b"stray " + bytes(number) for number in range(20)]
_WAIT = 60.0


class Endpoint(asyncio.DatagramProtocol):
    """Collects what it gets."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[bytes, Address]] = asyncio.Queue()
        self.closed = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.received.put_nowait((data, Address(*addr)))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()

    @property
    def address(self) -> Address:
        return Address(*self.transport.get_extra_info("sockname"))

    def send(self, data: bytes, to: "Endpoint") -> None:
        self.transport.sendto(data, tuple(to.address))

    async def next(self) -> tuple[bytes, Address]:
        return await asyncio.wait_for(self.received.get(), _WAIT)

    async def close(self) -> None:
        self.transport.close()
        await asyncio.wait_for(self.closed.wait(), _WAIT)


@pytest.fixture
def turnd(daemons: Daemons, tmp_path: Path) -> Daemon:
    tls = {name: str(path) for name, path in self_signed(tmp_path)._asdict().items()}
    return daemons.turnd(relay_on_loopback(peers={"allow": ["loopback"]}) | {"tls": tls})


@pytest.fixture
async def peers() -> AsyncIterator[tuple[Endpoint, Endpoint]]:
    """Two sockets of one host."""
    loop = asyncio.get_running_loop()
    endpoints = [(await loop.create_datagram_endpoint(Endpoint, ("127.0.0.1", 0)))[1] for _ in range(2)]
    yield endpoints[0], endpoints[1]
    for endpoint in endpoints:
        await endpoint.close()


async def _allocate(turnd: Daemon, transport: Transport, trusted: Path) -> Endpoint:
    _, endpoint = await create_turn_endpoint(
        Endpoint,
        turnd.address(transport),
        *CREDENTIAL,
        ssl=ssl.create_default_context(cafile=str(trusted)) if transport is Transport.TLS else None,
        transport="tcp" if transport.is_stream else "udp",
    )
    return endpoint


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP, Transport.TLS], ids=str)
async def test_what_is_counted_is_what_was_relayed(
    turnd: Daemon, tmp_path: Path, peers: tuple[Endpoint, Endpoint], transport: Transport
) -> None:
    peer, stranger = peers
    client = await _allocate(turnd, transport, tmp_path / "certificate.pem")
    for data in TAGGED:
        client.send(data, to=peer)
        assert await peer.next() == (data, client.address)
        peer.send(data[::-1], to=client)
        assert await client.next() == (data[::-1], peer.address)
    for data in STRAYS:
        stranger.send(data, to=client)
        assert await client.next() == (data, stranger.address)

    tagged, strays = (len(TAGGED), sum(map(len, TAGGED))), (len(STRAYS), sum(map(len, STRAYS)))
    expected = {
        ("to_peer", "channel"): tagged,
        ("to_client", "channel"): tagged,
        ("to_peer", "indication"): (0, 0),
        ("to_client", "indication"): strays,
    }
    # What has been sent is there sooner than it is counted.
    wait_for("all of it, counted", lambda: _counted(turnd) == expected or None)
    assert not turnd.metrics().by("turnd_dropped_total", "reason")

    await client.close()
    ended = turnd.await_record("allocation ended")
    assert (ended["user"], ended["reason"]) == (CREDENTIAL.username, "client")
    assert (ended["packets_to_peer"], ended["bytes_to_peer"]) == tagged
    assert (ended["packets_to_client"], ended["bytes_to_client"]) == (tagged[0] + strays[0], tagged[1] + strays[1])


def _counted(turnd: Daemon) -> dict[tuple[str, str], tuple[int, int]]:
    """Packets and bytes, by direction and framing."""
    metrics, found = turnd.metrics(), {}
    for direction, framing in itertools.product(("to_peer", "to_client"), ("channel", "indication")):
        names = ("turnd_relay_packets_total", "turnd_relay_bytes_total")
        packets, size = (metrics.sum(name, direction=direction, framing=framing) for name in names)
        found[direction, framing] = packets, size
    return found


@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TCP], ids=str)
async def test_two_agents_meet_relay_to_relay(daemons: Daemons, transport: Transport) -> None:
    """Under the default policy: our own relayed addresses are reached also where loopback is denied."""
    turnd = daemons.turnd()
    agents = [_agent(turnd, transport, controlling) for controlling in (True, False)]
    await asyncio.gather(*(agent.gather_candidates() for agent in agents))
    await _introduce(*agents)
    await _introduce(*reversed(agents))
    await asyncio.wait_for(asyncio.gather(*(agent.connect() for agent in agents)), _WAIT)
    one, other = agents
    for data in TAGGED:
        await one.send(data)
        assert await asyncio.wait_for(other.recv(), _WAIT) == data
        await other.send(data[::-1])
        assert await asyncio.wait_for(one.recv(), _WAIT) == data[::-1]

    # The data, and beside it only STUN's checks.
    total = 2 * sum(map(len, TAGGED))
    assert total < balanced(turnd).sum("turnd_relay_bytes_total", direction="to_client") < 1.1 * total
    await asyncio.gather(*(agent.close() for agent in agents))


def _agent(turnd: Daemon, transport: Transport, controlling: bool) -> Connection:
    return Connection(
        ice_controlling=controlling,
        turn_server=turnd.address(transport),
        turn_username=CREDENTIAL.username,
        turn_password=CREDENTIAL.password,
        turn_transport="tcp" if transport.is_stream else "udp",
        use_ipv6=False,
        transport_policy=TransportPolicy.RELAY,
    )


async def _introduce(agent: Connection, to: Connection) -> None:
    to.remote_username, to.remote_password = agent.local_username, agent.local_password
    assert {candidate.type for candidate in agent.local_candidates} == {"relay"}
    for candidate in (*agent.local_candidates, None):
        await to.add_remote_candidate(candidate)
