import asyncio
import contextlib
import io
import os
import re
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence

import pytest

from fairlead.datagram import Address
from fairlead_cli.up import foreman as foreman_module
from fairlead_cli.up.foreman import Foreman, Job, ending
from tests.architecture.house import ROOT
from tests.loopback import quiet_port

STAND_IN = "tests.fairlead_cli.up.stand_in"


class Ear(io.StringIO):
    """A standard error that can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self._heard = asyncio.Event()

    def write(self, text: str) -> int:
        self._heard.set()
        return super().write(text)

    async def hears(self, words: str) -> None:
        """Waits until something has been said."""
        while words not in self.getvalue():
            self._heard.clear()
            await self._heard.wait()


class Shift:
    """A foreman at work, and everything that was heard of it."""

    def __init__(self) -> None:
        self._ear = Ear()
        self.ready_after: list[float] = []
        self.objections: list[str] = []

    async def run(self, jobs: Sequence[Job], story: Callable[[], Awaitable[None]] | None = None) -> int:
        with contextlib.redirect_stderr(self._ear):
            foreman = Foreman(jobs, self.ready_after.append, lambda: self.objections)
            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                running = group.create_task(foreman.run())
                if story is not None:
                    await story()
        return running.result()

    @property
    def output(self) -> str:
        return self._ear.getvalue()

    async def hears(self, words: str) -> None:
        await self._ear.hears(words)

    def pids(self) -> list[int]:
        return [int(pid) for pid in re.findall(r'"event": "started", "pid": (\d+)', self.output)]


@pytest.fixture
def shift() -> Shift:
    return Shift()


def job(*behaviours: str, module: str = STAND_IN) -> Job:
    ops = Address("127.0.0.1", quiet_port(socket.SOCK_STREAM))
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    return Job(module, [str(ops.port), *behaviours], environ, ops)


def ask(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


async def test_from_start_to_the_end_of_a_drain(shift: Shift) -> None:
    async def story() -> None:
        await shift.hears("is ready after")
        assert len(shift.ready_after) == 1
        ask(signal.SIGTERM)

    assert await shift.run([job()], story) == 0
    lines = shift.output.splitlines()
    assert lines[0] == f"fairlead   | starting {STAND_IN}"
    assert any(line.startswith(f"{STAND_IN} | ") and '"event": "draining"' in line for line in lines)
    assert "fairlead   | draining: no new work" in shift.output
    (pid,) = shift.pids()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_daemon_that_dies_comes_back(shift: Shift) -> None:
    async def story() -> None:
        await shift.hears("is ready after")
        os.kill(shift.pids()[0], signal.SIGKILL)
        await shift.hears("is ready again")
        ask(signal.SIGINT)

    assert await shift.run([job()], story) == 0
    assert f"{STAND_IN} was killed by SIGKILL; it starts again in 0.5 s" in shift.output
    assert len(set(shift.pids())) == 2
    assert len(shift.ready_after) == 1, "the summary is shown once"


async def test_one_that_cannot_start_is_explained_and_tried_once(shift: Shift) -> None:
    assert await shift.run([job("refuse")]) == 1
    assert f"fairlead   | {STAND_IN} ended with exit code 1 before it was ready" in shift.output
    assert f"fairlead   | {STAND_IN} cannot start:\n" in shift.output
    assert "fairlead   |   turnd.listen[0]: udp://*:3478 is taken by dnsmasq (pid 7); stop it\n" in shift.output
    assert shift.output.count('"event": "cannot start"') == 1
    assert "run fairlead up again" in shift.output.splitlines()[-1]


async def test_a_module_that_is_missing_is_explained(shift: Shift) -> None:
    assert await shift.run([job(module="no_such_daemon")]) == 1
    assert "No module named no_such_daemon" in shift.output.splitlines()[-2]


async def test_the_second_request_stops_and_the_third_kills(shift: Shift) -> None:
    async def story() -> None:
        await shift.hears("is ready after")
        ask(signal.SIGTERM)
        await shift.hears('"event": "draining"')
        ask(signal.SIGINT)
        await shift.hears('"event": "stopping"')
        ask(signal.SIGINT)

    assert await shift.run([job("deaf")], story) == 1
    assert "stopping at once" in shift.output
    assert "killing what is left" in shift.output


async def test_a_reload_is_handed_on_unless_there_are_objections(shift: Shift) -> None:
    async def story() -> None:
        await shift.hears("is ready after")
        shift.objections = ["f.yaml:1:1: turnd.x: unknown key"]
        ask(signal.SIGHUP)
        await shift.hears("configuration refused, the old one stays: f.yaml:1:1: turnd.x: unknown key")
        shift.objections = []
        ask(signal.SIGHUP)
        await shift.hears('"event": "reloaded"')
        ask(signal.SIGTERM)

    assert await shift.run([job()], story) == 0
    assert shift.output.count('"event": "reloaded"') == 1


async def test_why_a_daemon_is_not_ready_is_said_once(shift: Shift, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreman_module, "_PATIENCE", 0.0)
    monkeypatch.setattr(foreman_module, "_POLL", 0.01)

    async def story() -> None:
        await shift.hears("has started and is not ready: the moon is in the way")
        ask(signal.SIGHUP)  # Takes the moon away: daemons that have started are told, ready or not.
        await shift.hears("is ready after")
        ask(signal.SIGTERM)

    assert await shift.run([job("unready")], story) == 0
    assert shift.output.count("the moon is in the way") == 1


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "ended with exit code 0"),
        (-9, "was killed by SIGKILL"),
        (-64, "was killed by SIGRTMAX"),
        (-99, "was killed by signal 99"),
    ],
)
def test_how_a_process_ended(status: int, words: str) -> None:
    assert ending(status) == words
