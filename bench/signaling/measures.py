"""What is measured of each server, in rounds taken in turn: an idle client's memory, a connect, a relayed frame."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.signaling.clients import ClientError, Crowd
from bench.signaling.servers import Signaling

_SETTLE = 1.0
#: clients that come before all others, and how long they talk
WARM_UP = 20
_WARM_UP_SECONDS = 1.0


@dataclass(frozen=True)
class Plan:
    """How much of each; `rate` is frames a second of all clients together."""

    rounds: int
    idle: int
    pairs: int
    rate: float
    seconds: float


@dataclass(frozen=True)
class Round:
    """One server, once. Memory is resident KiB, CPU is user and system time of the whole process."""

    idle_kib: float
    connect_us: float
    connects_per_second: float
    frame_us: float
    frames_per_second: float
    lost: int
    p50_ms: float
    p99_ms: float

    def __str__(self) -> str:
        return (
            f"{self.idle_kib:6.1f} KiB idle {self.connect_us:6.0f} us a connect {self.frame_us:6.1f} us a frame "
            f"at {self.frames_per_second:,.0f}/s, p50 {self.p50_ms:.2f} p99 {self.p99_ms:.2f} ms, {self.lost} lost"
        )


async def measure(server: Signaling, plan: Plan, sleep: Callable[[float], Any]) -> Round:
    """One round of one server that has served nobody yet; raises ClientError."""
    await warm_up(server, sleep)
    idle, connect, rate = await idle_clients(server, plan, sleep)
    return await relayed_frames(server, plan, Round(idle, connect, rate, 0, 0, 0, 0, 0))


async def warm_up(server: Signaling, sleep: Callable[[float], Any]) -> None:
    """What a server loads with its first clients belongs to no client."""
    async with Crowd() as crowd:
        await crowd.enter(_clients(server, 1_000_000, WARM_UP // 2))
        await crowd.talk(100, _WARM_UP_SECONDS)
    await sleep(_SETTLE)


async def idle_clients(server: Signaling, plan: Plan, sleep: Callable[[float], Any]) -> tuple[float, float, float]:
    """KiB of memory of a client that does nothing, and microseconds of CPU and the rate of connects."""
    async with Crowd() as crowd:
        memory, cpu, begun = resident_kib(server.pid), cpu_seconds(server.pid), time.perf_counter()
        await crowd.enter(_clients(server, 0, plan.idle // 2))
        took, spent = time.perf_counter() - begun, cpu_seconds(server.pid) - cpu
        await sleep(_SETTLE)
        grown = resident_kib(server.pid) - memory
    await sleep(_SETTLE)
    return grown / plan.idle, 1e6 * spent / plan.idle, plan.idle / took


async def relayed_frames(server: Signaling, plan: Plan, so_far: Round) -> Round:
    async with Crowd() as crowd:
        await crowd.enter(_clients(server, 2_000_000, plan.pairs))
        cpu, begun = cpu_seconds(server.pid), time.perf_counter()
        sent = await crowd.talk(plan.rate, plan.seconds)
        spent, took = cpu_seconds(server.pid) - cpu, time.perf_counter() - begun
    arrived = len(crowd.latencies)
    if not arrived:
        raise ClientError(f"{server.name} relayed no frame")
    percentiles = statistics.quantiles(crowd.latencies, n=100)
    return Round(
        so_far.idle_kib,
        so_far.connect_us,
        so_far.connects_per_second,
        frame_us=1e6 * spent / arrived,
        frames_per_second=arrived / took,
        lost=sent - arrived,
        p50_ms=1000 * percentiles[49],
        p99_ms=1000 * percentiles[98],
    )


def rows(rounds: dict[str, list[Round]], versions: dict[str, str], plan: Plan) -> list[dict[str, Any]]:
    """One entry for each server: the medians of its rounds, and what was asked of it."""
    return [
        {"server": name, "version": versions[name], "plan": asdict(plan)} | _medians(taken)
        for name, taken in rounds.items()
    ]


def _medians(taken: Sequence[Round]) -> dict[str, float]:
    figures = [asdict(each) for each in taken]
    return {name: round(statistics.median(each[name] for each in figures), 3) for name in figures[0]}


def _clients(server: Signaling, first: int, pairs: int) -> list[Any]:
    return [server.client(first + pair, is_first) for pair in range(pairs) for is_first in (True, False)]


def cpu_seconds(pid: int) -> float:
    """CPU that all threads of a process have used, in nanoseconds' resolution (Linux)."""
    texts = (path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(text.split()[0]) for text in texts) / 1e9


def resident_kib(pid: int) -> int:
    """Resident memory of a process (Linux)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
