import asyncio
import os
import signal
import socket
from pathlib import Path

import httpx
import pytest

from fairlead.config import ConfigError, Place, Problem
from fairlead.daemon.http import HttpServer
from tests.fairlead.daemon.recording import NO_TLS, REFUSAL, Life, living, until_called
from tests.waiting import eventually


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


async def sample(life: Life, series: str) -> float | None:
    lines = (await life.get("/metrics")).text.splitlines()
    return next((float(line.removeprefix(series)) for line in lines if line.startswith(series + " ")), None)


async def test_an_interrupt_stops_at_once(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        assert await life.ready() == {"ready": True, "draining": False, "reasons": [], "word": "spoken"}
        send(signal.SIGINT)
        assert life.serving is not None
        assert await life.serving is True
        assert life.daemon.calls == ["start first", "stop"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
async def test_draining_is_unready_served_and_ends_when_nothing_is_left(tmp_path: Path, number: signal.Signals) -> None:
    async with living(tmp_path) as life:
        assert await sample(life, "stund_draining") == 0
        send(number)
        await until_called(life, "drain")
        assert await life.ready() == {"ready": False, "draining": True, "reasons": ["draining"], "word": "spoken"}
        assert (await life.get("/healthz")).status_code == 200
        assert await sample(life, "stund_draining") == 1
        assert life.serving is not None
        assert not life.serving.done()
        life.daemon.drained.set()
        assert await life.serving is True
        assert life.daemon.calls == ["start first", "drain", "stop"]


async def test_a_drain_ends_at_its_deadline(tmp_path: Path) -> None:
    async with living(tmp_path, "  drain_deadline: 0.05\n") as life:
        send(signal.SIGTERM)
        assert life.serving is not None
        async with asyncio.timeout(5):
            assert await life.serving is True


async def test_a_second_terminate_stops_a_drain(tmp_path: Path) -> None:
    async with living(tmp_path, "  drain_deadline: 3600\n") as life:
        send(signal.SIGTERM)
        await until_called(life, "drain")
        send(signal.SIGUSR1)
        send(signal.SIGTERM)
        assert life.serving is not None
        async with asyncio.timeout(20):
            assert await life.serving is True
        assert life.daemon.calls == ["start first", "drain", "stop"]


@pytest.mark.logs_error("drain failed")
async def test_a_drain_that_breaks_stops(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.daemon.refuse = RuntimeError("broken")
        send(signal.SIGTERM)
        assert life.serving is not None
        async with asyncio.timeout(20):
            assert await life.serving is True


async def test_a_reload_hands_the_new_configuration_over(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.configure("  word: second\n")
        send(signal.SIGHUP)
        await until_called(life, "reload second")
        await eventually(lambda: life.runtime._loaded.section.word == "second")
        assert await sample(life, 'stund_config_reloads_total{result="success"}') == 1
        assert (await sample(life, "stund_config_last_reload_success_timestamp_seconds") or 0) > 1.7e9


@pytest.mark.logs_error("configuration refused")
async def test_a_bad_file_changes_nothing_and_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with living(tmp_path) as life:
        life.configure("  word: [second]\n  wrod: x\n")
        send(signal.SIGHUP)
        await eventually(lambda: caplog.text.count("configuration refused") == 2)
        assert f"{life.file}:3:9: stund.word: one text belongs here" in caplog.text
        assert f"{life.file}:4:3: stund.wrod: unknown key; did you mean word?" in caplog.text
        assert life.daemon.calls == ["start first"]
        assert await life.ready() == {"ready": True, "draining": False, "reasons": [], "word": "spoken"}
        assert await sample(life, 'stund_config_reloads_total{result="error"}') == 1
        life.configure("  word: third\n")
        send(signal.SIGHUP)
        await until_called(life, "reload third")


@pytest.mark.logs_error("configuration refused")
async def test_what_the_daemon_refuses_is_placed_and_leaves_the_old_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with living(tmp_path) as life:
        life.daemon.refuse = REFUSAL
        life.configure("  word: second\n")
        send(signal.SIGHUP)
        await eventually(lambda: "configuration refused" in caplog.text)
        assert f"{life.file}:3:9: stund.word: is no good; write another" in caplog.text
        assert life.runtime._loaded.section.word == "first"


@pytest.mark.logs_error("reload failed")
async def test_a_reload_that_breaks_leaves_the_daemon_running(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.daemon.refuse = RuntimeError("broken")
        send(signal.SIGHUP)
        await until_called(life, "reload")
        await eventually(lambda: life.runtime._reloads["error",] == 1)
        assert (await life.ready())["ready"]


async def test_the_ops_port_moves_with_a_reload(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        old = ops(life).address
        life.configure(ops="127.0.0.2:0")
        send(signal.SIGHUP)
        await eventually(lambda: life.runtime._reloads["success",] == 1)
        assert ops(life).address.host == "127.0.0.2"
        assert (await life.ready())["ready"]
        with pytest.raises(httpx.ConnectError):
            async with httpx.AsyncClient(verify=NO_TLS) as client:
                await client.get(f"http://{old}/healthz")


@pytest.mark.logs_error("configuration refused")
async def test_a_refused_reload_moves_no_port(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        before = ops(life)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            life.configure(ops=f"127.0.0.1:{taken.getsockname()[1]}")
            send(signal.SIGHUP)
            await eventually(lambda: life.runtime._reloads["error",] == 1)
        assert life.daemon.calls == ["start first"]
        life.daemon.refuse = REFUSAL
        life.configure(ops="127.0.0.2:0")
        send(signal.SIGHUP)
        await eventually(lambda: life.runtime._reloads["error",] == 2)
        assert ops(life) is before
        assert (await life.ready())["ready"]


def ops(life: Life) -> HttpServer:
    found = life.runtime._ops
    assert found is not None
    return found


async def test_the_daemons_own_reasons_make_it_unready(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        life.daemon.reasons = ["no answer from udp://127.0.0.1:1 within 2 s"]
        assert await life.ready() == {
            "ready": False,
            "draining": False,
            "reasons": life.daemon.reasons,
            "word": "spoken",
        }
        send(signal.SIGTERM)
        await until_called(life, "drain")
        assert (await life.ready())["reasons"] == ["draining", *life.daemon.reasons]


async def test_while_it_starts_it_is_alive_and_not_ready(tmp_path: Path) -> None:
    life = Life(tmp_path)
    go = asyncio.Event()
    life.daemon.may_start = go.wait
    life.start()
    await life.daemon.started.wait()
    assert await life.ready() == {"ready": False, "draining": False, "reasons": ["starting"]}
    assert (await life.get("/healthz")).status_code == 200
    for number in (signal.SIGHUP, signal.SIGUSR1):
        send(number)
    await asyncio.sleep(0.02)
    go.set()
    await eventually(lambda: life.runtime._started)
    assert life.daemon.calls == ["start first"]
    await life.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_start_can_be_given_up(tmp_path: Path, number: signal.Signals) -> None:
    life = Life(tmp_path)
    life.daemon.may_start = asyncio.Event().wait
    life.start()
    await life.daemon.started.wait()
    send(number)
    assert life.serving is not None
    async with asyncio.timeout(20):
        await life.serving
    assert life.daemon.calls == ["start first", "stop"]


@pytest.mark.logs_error("cannot start")
async def test_a_setting_that_cannot_be_honoured_is_placed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    life = Life(tmp_path, "  word: bad\n")
    life.daemon.refuse = REFUSAL
    assert await life.lived() is False
    assert f"{life.file}:3:9: stund.word: is no good; write another" in caplog.text
    assert life.daemon.calls == ["start bad", "stop"]


@pytest.mark.logs_error("cannot start")
async def test_several_settings_that_cannot_be_honoured_are_all_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    life = Life(tmp_path)
    problems = [Problem(Place("f", line), ("stund", "word"), f"is bad {line} times") for line in (1, 2)]
    life.daemon.refuse = ConfigError(problems)
    assert await life.lived() is False
    assert "is bad 1 times" in caplog.text
    assert "is bad 2 times" in caplog.text


@pytest.mark.logs_error("cannot start")
async def test_a_start_that_breaks_is_no_success(tmp_path: Path) -> None:
    life = Life(tmp_path)
    life.daemon.refuse = RuntimeError("broken")
    assert await life.lived() is False


@pytest.mark.logs_error("cannot start")
async def test_a_taken_ops_port_names_its_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        life = Life(tmp_path, ops=f"127.0.0.1:{taken.getsockname()[1]}")
        assert await life.lived() is False
    assert f"{life.file}:2:8: stund.ops: tcp://127.0.0.1:" in caplog.text
    assert f"is taken by this process itself (pid {os.getpid()})" in caplog.text
    assert life.daemon.calls == ["stop"]


async def test_what_every_daemon_tells_of_itself(tmp_path: Path) -> None:
    async with living(tmp_path) as life:
        text = (await life.get("/metrics")).text
        for name in ("stund_build_info{", "stund_start_time_seconds ", "stund_loop_lag_seconds_bucket{", "process_"):
            assert f"\n{name}" in text


async def test_systemd_is_told_of_every_change(tmp_path: Path) -> None:
    path = str(tmp_path / "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(20)
        environ = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "60000000"}
        async with living(tmp_path, environ=environ) as life:
            assert manager.recv(100) == b"WATCHDOG=1\n"
            assert manager.recv(100) == b"READY=1\n"
            send(signal.SIGHUP)
            await eventually(lambda: life.runtime._reloads["success",] == 1)
            reloading, microseconds = manager.recv(100).decode().splitlines()
            assert reloading == "RELOADING=1"
            assert microseconds.removeprefix("MONOTONIC_USEC=").isdigit()
            assert manager.recv(100) == b"READY=1\n"
            send(signal.SIGTERM)
            await until_called(life, "drain")
            assert manager.recv(100) == b"STATUS=draining\n"
            await life.end()
            assert manager.recv(100) == b"STOPPING=1\n"


async def test_the_watchdog_is_fed_while_the_loop_turns(tmp_path: Path) -> None:
    path = str(tmp_path / "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.setblocking(False)
        async with living(tmp_path, environ={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "40000"}), asyncio.timeout(20):
            loop = asyncio.get_running_loop()
            lines = [await loop.sock_recv(manager, 100) for _ in range(5)]
            assert lines.count(b"WATCHDOG=1\n") >= 4
