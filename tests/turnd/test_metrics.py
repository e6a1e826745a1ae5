"""What a scrape shows: every series from the start, and the truth after traffic."""

import re

from fairlead.daemon import Context, SystemClock
from fairlead.datagram import Address
from fairlead.metrics import Metrics
from tests.redis_server import RedisServer
from tests.turnd.conftest import Settle, Sockets
from tests.turnd.wire import receive
from tests.waiting import eventually
from turnd.daemon import Turnd

#: What one daemon may cost a Prometheus server.
SERIES_BUDGET = 700


def samples(metrics: Metrics) -> dict[str, float]:
    _, text = metrics.expose()
    rows = (line.rpartition(" ") for line in text.decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in rows}


async def test_counters_tell_what_happened(settle: Settle, sockets: Sockets) -> None:
    metrics = Metrics("turnd")
    daemon = Turnd()
    await daemon.start(settle(), Context(metrics, SystemClock()))
    before = samples(metrics)
    client, peer = sockets.client(daemon), sockets.peer()
    relayed = await client.allocate()
    await client.bind(0x4001, Address(*peer.getsockname()))
    peer.sendto(bytes(172), relayed)
    await receive(client.socket)
    labels = f'{{datapath="{daemon.server.engine.name}",direction="to_client",framing="channel"}}'
    # A thread counts what it has sent when that may have been heard.
    await eventually(lambda: samples(metrics)[f"turnd_relay_bytes_total{labels}"])
    after = samples(metrics)
    await daemon.stop()

    def grown(name: str) -> float:
        return after[name] - before[name]

    assert grown('turnd_requests_total{code="401",method="allocate",transport="udp"}') == 1
    assert grown('turnd_requests_total{code="success",method="allocate",transport="udp"}') == 1
    assert grown('turnd_allocations{relay_family="ipv4",transport="udp"}') == 1
    assert grown('turnd_relay_ports{family="ipv4",state="used"}') == 1
    assert grown(f"turnd_relay_packets_total{labels}") == 1
    assert grown(f"turnd_relay_bytes_total{labels}") == 172
    assert after.keys() == before.keys(), "a series that appears late hides its first event from rate()"
    assert len(after) < SERIES_BUDGET


async def test_labels_are_words_and_never_anybody(settle: Settle) -> None:
    metrics = Metrics("turnd")
    daemon = Turnd()
    await daemon.start(settle(), Context(metrics, SystemClock()))
    names = samples(metrics)
    await daemon.stop()
    values = {value for name in names for value in re.findall(r'"([^"]*)"', name)}
    assert not [value for value in values if "alice" in value or re.search(r"\d+\.\d+\.\d+\.\d+", value)]


async def test_a_link_that_does_not_stand_is_seen(settle: Settle, redis_server: RedisServer) -> None:
    """Its password is wrong: kicks do not reach this relay, and whoever looks reads why."""
    redis_server.command("CONFIG", "SET", "requirepass", "right")
    url = redis_server.url.replace("://", "://:wrong@")
    metrics, daemon = Metrics("turnd"), Turnd()
    await daemon.start(settle({"link": {"redis": url}}), Context(metrics, SystemClock()))
    try:
        await eventually(lambda: "invalid username-password pair" in str(daemon.about()["link"]))
        assert samples(metrics)["turnd_link_connected"] == 0
        redis_server.kill()
        redis_server.start()
        redis_server.command("CONFIG", "SET", "requirepass", "wrong")
        await eventually(lambda: daemon.about()["link"] == "connected")
        assert samples(metrics)["turnd_link_connected"] == 1
        assert samples(metrics)["turnd_link_dropped_total"] == 0
    finally:
        await daemon.stop()
