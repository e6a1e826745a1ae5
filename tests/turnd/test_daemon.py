"""turnd whole, in this process: from a configuration to packets that arrive, and back to nothing."""

import asyncio
import contextlib
import select
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import ifaddr
import pytest

from fairlead.config import SettingError
from fairlead.daemon import Context, SystemClock
from fairlead.datagram import Address, Transport
from fairlead.metrics import Metrics
from fairlead.native import EngineChoice
from fairlead.reasons import Reason
from fairlead.stun.attributes import LIFETIME, REALM, REQUESTED_TRANSPORT, UDP
from fairlead.stun.header import Method
from tests.conformance.kit import WAYS, engine_or_skip
from tests.loopback import quiet_port
from tests.network import PUBLIC_IPV4
from tests.skipping import require_program
from tests.turnd.conftest import Settle, Sockets, Start, require_native
from tests.turnd.wire import WAIT, WireClient, receive
from tests.waiting import eventually
from turnd import addresses
from turnd.daemon import Turnd
from turnd.dataplane.contract import EngineSettings, Io

CHANNEL = 0x4001
UDP_RELAY = ((REQUESTED_TRANSPORT, UDP),)


async def relays(daemon: Turnd, client: WireClient, peer: socket.socket) -> bool:
    """Whether a packet on the client's channel reaches the peer; a refused channel relays nothing, and counts it."""

    def dropped() -> int:
        return sum(daemon.server.engine.counters().dropped.values())

    def has_arrived() -> bool:
        return bool(select.select([peer], [], [], 0)[0])

    before = dropped()
    client.send(CHANNEL.to_bytes(2) + (4).to_bytes(2) + b"ping")
    await eventually(lambda: has_arrived() or dropped() > before)
    return has_arrived() and (await receive(peer))[0] == b"ping"


async def test_a_call_goes_through(settle: Settle, start: Start, sockets: Sockets) -> None:
    daemon = await start(settle())
    client, peer = sockets.client(daemon), sockets.peer()
    relayed = await client.allocate()
    assert await client.bind(CHANNEL, Address(*peer.getsockname())) == 0
    assert await relays(daemon, client, peer)
    peer.sendto(b"pong", relayed)
    data, _ = await receive(client.socket)
    assert data == CHANNEL.to_bytes(2) + (4).to_bytes(2) + b"pong"
    assert await daemon.readiness() == []


async def test_packets_go_through_as_many_threads_as_are_asked_for(
    settle: Settle, start: Start, sockets: Sockets
) -> None:
    require_native()
    daemon = await start(settle(engine="native", threads=3))
    assert daemon.about()["threads"] == 3
    for _ in range(10):
        client, peer = sockets.client(daemon), sockets.peer()
        await client.allocate()
        assert await client.bind(CHANNEL, Address(*peer.getsockname())) == 0
        assert await relays(daemon, client, peer)
    # The thread that a client comes in by is told, and so nothing has to change hands.
    assert daemon.server.engine.counters().handed_over == 0


async def test_an_io_that_an_engine_does_not_have_is_refused(settle: Settle, start: Start) -> None:
    with pytest.raises(SettingError, match="the Python engine has no io_uring") as caught:
        await start(settle(engine="python", io="io_uring"))
    assert caught.value.key == ("turnd", "io")
    assert "io: auto" in caught.value.remedy


@pytest.mark.parametrize("io", WAYS)
async def test_how_packets_get_in_and_out_is_said(settle: Settle, start: Start, io: Io) -> None:
    engine_or_skip(EngineChoice.NATIVE, EngineSettings(io=io)).close()
    daemon = await start(settle(engine="native", io=io.value))
    assert daemon.about()["io"] == io


async def test_threads_that_an_engine_does_not_have_are_refused(settle: Settle, start: Start) -> None:
    with pytest.raises(SettingError, match="the python engine has one thread") as caught:
        await start(settle(engine="python", threads=2))
    assert caught.value.key == ("turnd", "threads")
    assert "threads: auto" in caught.value.remedy


async def test_a_drain_ends_with_the_last_allocation(settle: Settle, start: Start, sockets: Sockets) -> None:
    daemon = await start(settle())
    client, late = sockets.client(daemon), sockets.client(daemon)
    await client.allocate()
    draining = asyncio.create_task(daemon.drain())
    await asyncio.sleep(0)
    assert await late.code(Method.ALLOCATE, *UDP_RELAY) == 508
    assert await client.code(Method.REFRESH) == 0
    assert not draining.done()
    assert await client.code(Method.REFRESH, (LIFETIME, 0)) == 0
    await asyncio.wait_for(draining, WAIT)


async def test_a_drain_without_allocations_is_over_at_once(settle: Settle, start: Start, sockets: Sockets) -> None:
    daemon = await start(settle())
    await asyncio.wait_for(daemon.drain(), WAIT)


async def test_a_reloaded_policy_withdraws_what_it_denies(settle: Settle, start: Start, sockets: Sockets) -> None:
    daemon = await start(settle())
    client, peer = sockets.client(daemon), sockets.peer()
    await client.allocate()
    await client.bind(CHANNEL, Address(*peer.getsockname()))
    assert await relays(daemon, client, peer)
    await daemon.reload(settle(peers={"allow": ["loopback"], "deny": ["127.0.0.1"]}))
    assert not await relays(daemon, client, peer)
    assert await client.permit(Address(*peer.getsockname())) == 403
    assert await client.code(Method.REFRESH) == 0


async def test_the_addresses_of_this_machine_are_no_peers(
    settle: Settle, start: Start, sockets: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not only where a listener is bound; and a reload looks again which they are."""
    address = ifaddr.IP("8.8.4.4", 24, "eth0")
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: [ifaddr.Adapter("eth0", "eth0", [address])])
    daemon = await start(settle())
    client = sockets.client(daemon)
    await client.allocate()
    assert [await client.permit(Address(host, 5432)) for host in ("8.8.4.4", "8.8.8.8")] == [403, 0]
    address.ip = "8.8.8.8"
    await daemon.reload(settle())
    assert [await client.permit(Address(host, 5432)) for host in ("8.8.4.4", "8.8.8.8")] == [0, 403]


def _ip(words: str) -> None:
    subprocess.run([require_program("ip"), *words.split()], check=True)


@pytest.mark.usefixtures("own_network")
async def test_an_address_that_the_kernel_still_looks_into_is_no_refusal(settle: Settle, start: Start) -> None:
    """For a second nobody can bind to a new IPv6 address; nobody has asked for it either."""
    _ip("link add near type veth peer name far")
    for end in ("near", "far"):
        _ip(f"link set {end} up")
    _ip("-6 address add 2001:4860::5/64 dev near")
    daemon = await start(settle(listen=["udp://127.0.0.1:0"], relay={"ports": "27000-27999"}))
    async with asyncio.timeout(WAIT):
        while reasons := await daemon.readiness():
            assert "2001:4860::5" in reasons[0]
            await asyncio.sleep(0.05)  # the kernel has a clock of its own


@pytest.mark.usefixtures("own_network")
@pytest.mark.parametrize("engine", ["python", "native"])
async def test_an_address_of_an_interface_is_listened_to_by_the_name_of_it(
    settle: Settle, start: Start, engine: str
) -> None:
    if engine == "native":
        require_native()
    _ip("link add near type veth peer name far")
    for end in ("near", "far"):
        _ip(f"link set {end} up")
    _ip("-6 address add fe80::5/64 dev near nodad")
    listen = ["udp://[fe80::5%near]:3478", "tcp://[fe80::5%near]:3478"]
    daemon = await start(settle(engine=engine, listen=listen))
    assert await daemon.readiness() == []
    with pytest.raises(SettingError, match="no interface with this name"):
        await daemon.reload(settle(engine=engine, listen=["udp://[fe80::5%gone]:3479"]))


async def test_a_turnd_that_nobody_reaches_is_not_ready(settle: Settle, start: Start) -> None:
    daemon = await start(settle(listen=[]))
    assert await daemon.readiness() == ["nothing is listened to: see `listen` in the configuration"]
    await daemon.reload(settle())
    assert await daemon.readiness() == []


@pytest.mark.usefixtures("own_network")
async def test_an_address_that_the_machine_is_given_later_is_no_peer_either(
    settle: Settle, start: Start, sockets: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failover gives this node the service address, with a private service and our own listener on it."""
    monkeypatch.setattr(addresses, "LOOK_INTERVAL", 0.01)
    service = {"listen": ["udp://*:3478"], "relay": {"address": [PUBLIC_IPV4], "ports": "27000-27999"}, "peers": {}}
    daemon = await start(settle(**service))
    client = sockets.client(daemon)
    relayed, private = await client.allocate(), Address("20.0.0.9", 5353)
    assert relayed.host == PUBLIC_IPV4
    assert await client.bind(CHANNEL, private) == 0
    _ip("address add 20.0.0.9/32 dev lo")
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as inner:
        inner.bind(private)
        inner.setblocking(False)
        async with asyncio.timeout(WAIT):
            while await client.permit(private) == 0:  # noqa: ASYNC110  # no event tells
                await asyncio.sleep(0.01)
        assert await client.permit(private._replace(port=3478)) == 403
        assert not await relays(daemon, client, inner)


@pytest.mark.usefixtures("own_network")
async def test_a_relay_address_that_the_machine_loses_is_said(settle: Settle, start: Start, sockets: Sockets) -> None:
    daemon = await start(settle(relay={"address": [PUBLIC_IPV4]}))
    assert await daemon.readiness() == []
    _ip(f"address delete {PUBLIC_IPV4}/32 dev lo")
    _ip("route delete local 0.0.0.0/0 dev lo")
    assert await daemon.readiness() == [f"no relay socket on {PUBLIC_IPV4}: Cannot assign requested address"]


async def test_bandwidth_is_limited_and_a_reload_lifts_the_limit(
    settle: Settle, start: Start, sockets: Sockets
) -> None:
    """By allocation, and by what a user has over all of them; counted under its own word."""
    slow = {"rate": 1, "burst": 65536}
    daemon = await start(settle(quotas={"bandwidth": {"user": slow}}))
    client, other, peer = sockets.client(daemon), sockets.client(daemon), sockets.peer()
    for each in (client, other):
        await each.allocate()
        await each.bind(CHANNEL, Address(*peer.getsockname()))
    client.send(CHANNEL.to_bytes(2) + (65500).to_bytes(2) + bytes(65500))
    await receive(peer)
    other.send(CHANNEL.to_bytes(2) + (100).to_bytes(2) + bytes(100))
    async with asyncio.timeout(WAIT):
        while not daemon.server.engine.counters().dropped[Reason.USER_BANDWIDTH]:  # noqa: ASYNC110  # no event tells
            await asyncio.sleep(0.01)
    await daemon.reload(settle(quotas={"bandwidth": {"allocation": slow}}))
    assert await relays(daemon, other, peer)
    await daemon.reload(settle())
    assert await relays(daemon, client, peer)


async def test_a_reload_takes_users_over_and_keeps_living_allocations(
    settle: Settle, start: Start, sockets: Sockets
) -> None:
    daemon = await start(settle())
    old, new = sockets.client(daemon), sockets.client(daemon)
    await old.allocate()
    await daemon.reload(settle({"auth": {"users": [{"name": "bob", "password": "builder"}]}}))
    assert await old.code(Method.REFRESH) == 0
    assert await new.code(Method.ALLOCATE, *UDP_RELAY) == 401


@pytest.mark.parametrize("engine", ["python", "native"])
async def test_a_reload_reaches_whoever_challenges_strangers(
    settle: Settle, start: Start, sockets: Sockets, engine: str
) -> None:
    """Realm and nonce key are new for the next challenge; a nonce under the old key is asked for again."""
    if engine == "native":
        require_native()
    daemon = await start(settle(engine=engine))
    old, new = sockets.client(daemon), sockets.client(daemon)
    await old.allocate()
    before = old.nonce
    auth: dict[str, Any] = {"users": [{"name": "alice", "password": "wonderland"}], "nonce_key": "x" * 16}
    await daemon.reload(settle({"auth": auth}, engine=engine))
    assert await old.code(Method.REFRESH) == 0
    assert old.nonce != before
    await daemon.reload(settle({"auth": auth | {"realm": "renamed"}}, engine=engine))
    challenge = await new.ask(Method.ALLOCATE, *UDP_RELAY)
    assert challenge.first(REALM) == "renamed"


async def test_a_reload_opens_and_closes_listeners(settle: Settle, start: Start, sockets: Sockets) -> None:
    daemon = await start(settle())
    before = {target.address for target in daemon.listening.targets()}
    await daemon.reload(settle(listen=["udp://127.0.0.1:0", "udp://127.0.0.2:0"]))
    after = {target.address for target in daemon.listening.targets()}
    assert len(before & after) == 1
    assert {address.host for address in after - before} == {"127.0.0.2"}
    assert await daemon.readiness() == []


@pytest.mark.parametrize("engine", ["python", "native"])
async def test_a_call_lives_on_when_its_listener_goes_and_comes_back(
    settle: Settle, start: Start, sockets: Sockets, engine: str
) -> None:
    """Its next request says that it is back; from then on packets go both ways."""
    if engine == "native":
        require_native()
    here = [f"udp://127.0.0.1:{quiet_port(socket.SOCK_DGRAM)}"]
    daemon = await start(settle(engine=engine, listen=here))
    client, peer = sockets.client(daemon), sockets.peer()
    relayed, peer_address = await client.allocate(), Address(*peer.getsockname())
    assert await client.bind(CHANNEL, peer_address) == 0
    await daemon.reload(settle(engine=engine, listen=["udp://127.0.0.2:0"]))
    await daemon.reload(settle(engine=engine, listen=here))
    assert await client.code(Method.REFRESH) == 0
    assert await relays(daemon, client, peer)
    peer.sendto(b"pong", relayed)
    data, _ = await receive(client.socket)
    assert data == CHANNEL.to_bytes(2) + (4).to_bytes(2) + b"pong"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"relay": {"address": ["127.0.0.1"], "ports": "27000-27001"}}, ("turnd", "relay")),
        ({"buffers": {"receive": 65536}}, ("turnd", "buffers")),
        ({"threads": 7}, ("turnd", "threads")),
        ({"io": "epoll"}, ("turnd", "io")),
    ],
)
async def test_what_cannot_change_refuses_the_whole_reload(
    settle: Settle, start: Start, change: dict[str, Any], key: tuple[str, ...]
) -> None:
    daemon = await start(settle())
    with pytest.raises(SettingError, match="restart turnd") as caught:
        await daemon.reload(settle(**change, listen=[]))
    assert caught.value.key == key
    assert len(daemon.listening.targets()) == 2


async def test_a_listener_that_cannot_be_opened_changes_nothing(settle: Settle, start: Start, sockets: Sockets) -> None:
    daemon = await start(settle())
    taken = sockets.peer()
    port = taken.getsockname()[1]
    with pytest.raises(SettingError, match=f"127.0.0.1:{port} is taken by"):
        await daemon.reload(settle(listen=["udp://127.0.0.1:0", f"udp://127.0.0.1:{port}"], peers={"allow": []}))
    assert len(daemon.listening.targets()) == 2
    assert await sockets.client(daemon).allocate()


async def test_it_refuses_to_start_without_the_engine_that_is_asked_for(
    settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fairlead.native._engine", None)
    with pytest.raises(SettingError, match="no native engine; install Rust"):
        await Turnd().start(settle(engine="native"), Context(Metrics("turnd"), SystemClock()))


@pytest.mark.parametrize(
    ("top", "section", "said"),
    [
        ({"auth": {}}, {}, "neither a secret nor a user"),
        ({"tls": {"certificate": "gone.pem", "key": "gone.key"}}, {}, "gone.pem cannot be read"),
        ({}, {"relay": {"address": ["127.0.0.1"], "advertise": ["2001:db8::1"]}}, "is advertised, but no relay"),
        ({}, {"relay": {"address": ["203.0.113.5"]}}, "no socket can be bound to 203.0.113.5: Cannot assign"),
    ],
)
async def test_it_refuses_to_start_and_says_why(
    settle: Settle, top: dict[str, Any], section: dict[str, Any], said: str
) -> None:
    daemon = Turnd()
    with pytest.raises(SettingError, match=said):
        await daemon.start(settle(top, **section), Context(Metrics("turnd"), SystemClock()))
    await daemon.stop()


async def test_tls_listeners_open_with_a_certificate(settle: Settle, start: Start, certificate: dict[str, str]) -> None:
    without = await start(settle(listen_tls=["tls://127.0.0.1:0"]))
    assert Transport.TLS not in {target.transport for target in without.listening.targets()}
    daemon = await start(settle({"tls": certificate}, listen_tls=["tls://127.0.0.1:0"]))
    assert Transport.TLS in {target.transport for target in daemon.listening.targets()}
    assert await daemon.readiness() == []


async def test_stopping_gives_every_socket_back(settle: Settle, start: Start, sockets: Sockets) -> None:
    before = _descriptors()
    daemon = Turnd()
    await daemon.start(settle(), Context(Metrics("turnd"), SystemClock()))
    with contextlib.closing(sockets.client(daemon)) as client:
        await client.allocate()
    await daemon.stop()
    assert _descriptors() == before


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
