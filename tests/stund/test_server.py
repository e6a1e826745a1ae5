import asyncio
import logging
import os
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest

from fairlead.config import SettingError
from fairlead.daemon import Context, SystemClock
from fairlead.datagram import Transport
from fairlead.metrics import Metrics
from stund.server import Stund
from tests.certificates import self_signed
from tests.loopback import require_ipv6
from tests.stund.running import Running, ask, ask_stream, configured, running


async def test_everywhere_is_both_families_and_both_transports(tmp_path: Path) -> None:
    require_ipv6()
    async with running(configured(tmp_path, listen=["udp://*:0", "tcp://*:0"])) as stund:
        found = sorted((str(target.transport), target.address.host) for target in stund.server.targets())
        assert found == [("tcp", "0.0.0.0"), ("tcp", "::"), ("udp", "0.0.0.0"), ("udp", "::")]
        assert await stund.server.probe.reasons() == []


async def test_without_a_certificate_nothing_listens_for_tls(tmp_path: Path) -> None:
    async with running(configured(tmp_path)) as stund:
        assert {target.transport for target in stund.server.targets()} == {Transport.UDP, Transport.TCP}
        assert stund.sample("certificate_expiry_timestamp_seconds") is None


async def test_a_missing_certificate_keeps_it_from_starting_and_opens_nothing(tmp_path: Path) -> None:
    loaded = configured(tmp_path, {"tls": {"certificate": "none.pem", "key": "none.pem"}})
    with pytest.raises(SettingError) as caught:
        Running(loaded)
    assert str(loaded.locate(caught.value)) == (
        f"{tmp_path}/fairlead.yaml:8:16: tls.certificate: {tmp_path}/none.pem cannot be read "
        "(No such file or directory); check the path, and that the daemon's user may read it"
    )


async def test_a_taken_port_names_the_entry_and_the_process(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        loaded = configured(tmp_path, listen=["tcp://127.0.0.1:0", f"udp://127.0.0.1:{port}"])
        with pytest.raises(SettingError) as caught:
            Running(loaded)
    problem = str(loaded.locate(caught.value))
    assert problem.startswith(f"{tmp_path}/fairlead.yaml:4:5: stund.listen[1]: udp://127.0.0.1:{port} is taken by ")
    assert f"(pid {os.getpid()})" in problem


async def test_a_reload_opens_what_is_new_keeps_what_stays_and_closes_what_is_gone(tmp_path: Path) -> None:
    async with running(configured(tmp_path)) as stund:
        udp, tcp = stund.address(Transport.UDP), stund.address(Transport.TCP)
        stund.server.take_over(configured(tmp_path, listen=["udp://127.0.0.1:0", "udp://127.0.0.2:0"], software="new"))
        assert stund.address(Transport.UDP) == udp
        assert len((await ask(udp))[0]) > 32
        assert (await ask(stund.address(Transport.UDP, 1)))[1].host == "127.0.0.2"
        with pytest.raises(ConnectionRefusedError):
            await ask_stream(tcp)


async def test_a_refused_reload_changes_nothing(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        async with running(configured(tmp_path)) as stund:
            before = stund.server.targets()
            worse = configured(tmp_path, listen=["udp://127.0.0.3:0", f"udp://127.0.0.1:{port}"], software="new")
            with pytest.raises(SettingError):
                stund.server.take_over(worse)
            with pytest.raises(SettingError):
                stund.server.take_over(
                    configured(tmp_path, {"tls": {"certificate": "no", "key": "no"}}, software="new")
                )
            assert stund.server.targets() == before
            assert len((await ask(stund.address(Transport.UDP)))[0]) == 32
            assert await stund.server.probe.reasons() == []


async def test_a_reload_resizes_the_buffers_of_sockets_that_stay(tmp_path: Path) -> None:
    async with running(configured(tmp_path)) as stund:
        (opened,) = (found for found in stund.server._open.values() if found.datagram)
        stund.server.take_over(configured(tmp_path, buffers={"receive": 50_000, "send": 60_000}))
        with socket.socket(fileno=os.dup(opened.datagram[0].fileno())) as sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 100_000
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 120_000


async def test_the_last_probe_is_a_metric(tmp_path: Path) -> None:
    async with running(configured(tmp_path)) as stund:
        assert stund.sample("probe_success", transport="udp") is None
        await stund.server.probe.reasons()
        assert stund.sample("probe_success", transport="udp") == 1
        assert 0 < (stund.sample("probe_round_trip_seconds", transport="tcp") or 0) < 2


async def test_a_reload_takes_a_new_certificate(tmp_path: Path) -> None:
    files = self_signed(tmp_path, days=10)
    shared = {"tls": {"certificate": str(files.certificate), "key": str(files.key)}}
    async with running(configured(tmp_path, shared)) as stund:
        before = stund.sample("certificate_expiry_timestamp_seconds")
        files = self_signed(tmp_path, days=20)
        stund.server.take_over(configured(tmp_path, shared))
        after = stund.sample("certificate_expiry_timestamp_seconds")
        assert before is not None
        assert after is not None
        assert after - before == pytest.approx(10 * 86400, abs=60)
        context = ssl.create_default_context(cafile=files.certificate)
        assert len(await ask_stream(stund.address(Transport.TLS), ssl=context)) == 32


async def test_the_kernels_view_of_each_listener_is_a_metric(tmp_path: Path) -> None:
    async with running(configured(tmp_path, engine="python")) as stund:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(bytes(1000), stund.address(Transport.UDP))
            listener = "udp://127.0.0.1:0"
            assert (stund.sample("socket_rx_queue_bytes", listener=listener) or 0) >= 1000
            assert stund.sample("socket_rx_drops_total", listener=listener) == 0


async def test_the_daemon_from_start_to_stop(tmp_path: Path) -> None:
    stund = Stund()
    assert await stund.readiness() == ()
    await stund.stop()
    metrics = Metrics("stund")
    await stund.start(configured(tmp_path), Context(metrics, SystemClock()))
    try:
        assert await stund.readiness() == []
        await stund.reload(configured(tmp_path, software="x"))
        assert await stund.readiness() == []
        # The probe's own connections may be on their way out.
        async with asyncio.timeout(20):
            await stund.drain()
    finally:
        await stund.stop()
    assert b"stund_requests_total" in metrics.expose()[1]


async def test_draining_waits_for_open_connections(tmp_path: Path) -> None:
    stund = Stund()
    metrics = Metrics("stund")
    await stund.start(configured(tmp_path, listen=["tcp://127.0.0.1:0"]), Context(metrics, SystemClock()))
    try:
        assert stund._server is not None
        (target,) = stund._server.targets()
        _, writer = await asyncio.open_connection(*target.address)
        # Whoever is accepted later is answered: so the one before it has been accepted.
        assert len(await ask_stream(target.address)) == 32
        draining = asyncio.create_task(stund.drain())
        await asyncio.sleep(0.05)
        assert not draining.done()
        assert len(await ask_stream(target.address)) == 32
        writer.close()
        async with asyncio.timeout(20):
            await draining
    finally:
        await stund.stop()


@pytest.mark.parametrize(
    "change", [{"engine": "native"}, {"limits": {"buckets": 1}}], ids=["another engine", "other buckets"]
)
async def test_what_cannot_change_refuses_the_reload(tmp_path: Path, change: dict[str, Any]) -> None:
    async with running(configured(tmp_path, engine="python")) as stund:
        with pytest.raises(SettingError, match="restart stund"):
            stund.server.take_over(configured(tmp_path, **{"engine": "python", "listen": []} | change))
        assert len(await ask(stund.address(Transport.UDP))) == 2


async def test_it_refuses_to_start_without_the_engine_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fairlead.native._engine", None)
    loaded = configured(tmp_path, engine="native")
    with pytest.raises(SettingError, match="no native engine") as caught:
        Running(loaded)
    assert "make native" in str(loaded.locate(caught.value))
    async with running(configured(tmp_path, engine="auto")) as stund:
        assert stund.sample("datapath", datapath="python") == 1


async def test_which_engine_runs_is_said(tmp_path: Path, engine: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "stund")
    daemon = Stund()
    await daemon.start(configured(tmp_path), Context(Metrics("stund"), SystemClock()))
    try:
        assert daemon.about() == {"engine": engine, "panics": 0}
    finally:
        await daemon.stop()
    assert any("'answering'" in line and f"'{engine}'" in line for line in map(str, caplog.messages))
