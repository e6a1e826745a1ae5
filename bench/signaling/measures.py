"""What is measured of each server, in rounds taken in turn: an idle client's memory, a connect, a relayed frame."""

import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from bench.programs import compiled
from bench.signaling.clients import ClientError, Crowd, Talk, talk
from bench.signaling.dialects import SigV1
from bench.signaling.servers import Signaling
from bench.usage import cpu_nanoseconds, resident_bytes

_SETTLE = 1.0
#: clients that come before all others, and how long and how fast they talk
WARM_UP = 20
_WARM_UP_SECONDS, _WARM_UP_RATE = 1.0, 100.0
#: the share of a rate that counts as reached
_REACHED = 0.98


@dataclass(frozen=True)
class Plan:
    """How much of each; `rate` and `fast_rate` are frames a second of all clients together."""

    rounds: int
    idle: int
    pairs: int
    rate: float
    fast_rate: float
    seconds: float


@dataclass(frozen=True)
class Frames:
    """One pace of one server. CPU is user and system time of the whole process."""

    asked_per_second: float
    per_second: float
    cpu_us: float
    lost: int
    p50_ms: float
    p99_ms: float

    @property
    def is_reached(self) -> bool:
        return self.per_second >= _REACHED * self.asked_per_second

    @classmethod
    def read(cls, said: Talk, rate: float) -> "Frames":
        lost = said.sent + said.refused - said.arrived
        cpu = 1e6 * said.cpu_seconds / said.arrived
        return cls(rate, said.arrived / said.seconds, cpu, lost, said.p50_ms, said.p99_ms)

    def __str__(self) -> str:
        reached = "" if self.is_reached else f" RATE NOT REACHED ({self.per_second:,.0f}/s)"
        times = f"p50 {self.p50_ms:.2f} p99 {self.p99_ms:.2f} ms"
        return f"at {self.asked_per_second:,.0f}/s{reached}: {self.cpu_us:5.1f} us a frame, {times}, {self.lost} lost"


@dataclass(frozen=True)
class Round:
    """One server, once. Memory is resident KiB."""

    idle_kib: float
    connect_us: float
    connects_per_second: float
    frames: Frames
    fast: Frames

    def __str__(self) -> str:
        coming = f"{self.idle_kib:6.1f} KiB idle {self.connect_us:6.0f} us a connect"
        return f"{coming} ({self.connects_per_second:,.0f}/s) | {self.frames} | {self.fast}"


async def idle_clients(server: Signaling, plan: Plan, sleep: Callable[[float], Any]) -> tuple[float, float, float]:
    """KiB of memory of a client that does nothing, and microseconds of CPU and the rate of connects; of a server that
    has served nobody yet. Raises ClientError."""
    await _warm_up(server, sleep)
    async with Crowd() as crowd:
        memory, cpu, begun = resident_bytes(server.pid), cpu_nanoseconds(server.pid), time.perf_counter()
        await crowd.enter(_clients(server, 0, plan.idle // 2))
        took, spent = time.perf_counter() - begun, cpu_nanoseconds(server.pid) - cpu
        await sleep(_SETTLE)
        grown = (resident_bytes(server.pid) - memory) / 1024
    return grown / plan.idle, spent / 1000 / plan.idle, plan.idle / took


async def relayed_frames(server: Signaling, plan: Plan, sleep: Callable[[float], Any]) -> tuple[Frames, Frames]:
    """Both paces, of a server of their own: what others leave behind when they go is no part of a frame."""
    await _warm_up(server, sleep)
    async with Crowd() as crowd:
        await crowd.enter(_clients(server, 2_000_000, plan.pairs))
        await sleep(_SETTLE)
        taken = []
        for rate in (plan.rate, plan.fast_rate):
            said = await crowd.talk(rate, plan.seconds, server.pid)
            if not said.arrived:
                raise ClientError(f"{server.name} relayed no frame")
            taken.append(Frames.read(said, rate))
    return taken[0], taken[1]


def generator_alone(plan: Plan) -> tuple[Frames, Frames]:
    """Both paces against a program that only sends back what it reads: what the load adds to each time, and what a
    frame costs the kernel."""
    text = SigV1("", 0).frame()
    with ExitStack() as stack:
        address, pid = stack.enter_context(_echo())
        opened = [stack.enter_context(socket.create_connection(address)) for _ in range(2 * plan.pairs)]
        texts = [text] * len(opened)
        slow = Frames.read(talk(opened, texts, plan.rate, plan.seconds, pid), plan.rate)
        return slow, Frames.read(talk(opened, texts, plan.fast_rate, plan.seconds, pid), plan.fast_rate)


@contextmanager
def _echo() -> Iterator[tuple[tuple[str, int], int]]:
    """Where it listens, and its process id."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [str(compiled("signals.c")), "echo", str(listener.fileno())]
        with subprocess.Popen(command, pass_fds=[listener.fileno()]) as process:
            try:
                yield listener.getsockname(), process.pid
            finally:
                process.kill()


async def _warm_up(server: Signaling, sleep: Callable[[float], Any]) -> None:
    """What a server loads with its first clients belongs to no client."""
    async with Crowd() as crowd:
        await crowd.enter(_clients(server, 1_000_000, WARM_UP // 2))
        await crowd.talk(_WARM_UP_RATE, _WARM_UP_SECONDS, server.pid)
    await sleep(_SETTLE)


def rows(rounds: dict[str, list[Round]], versions: dict[str, str], plan: Plan) -> list[dict[str, Any]]:
    """One entry for each server: the medians of its rounds, and what was asked of it."""
    return [
        {"server": name, "version": versions[name], "plan": asdict(plan)} | _medians([asdict(each) for each in taken])
        for name, taken in rounds.items()
    ]


def _medians(taken: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        name: _medians([each[name] for each in taken])
        if isinstance(first, dict)
        else round(statistics.median(each[name] for each in taken), 3)
        for name, first in taken[0].items()
    }


def _clients(server: Signaling, first: int, pairs: int) -> list[Any]:
    return [server.client(first + pair, is_first) for pair in range(pairs) for is_first in (True, False)]
