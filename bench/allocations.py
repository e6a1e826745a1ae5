"""What an authenticated Allocate costs, the challenge and the success, and what a Refresh: one server beside others."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.programs import report
from bench.servers import ACCOUNT, REALM, Server
from bench.topology import Cores
from fairlead.stun.integrity import PasswordAlgorithm, long_term_key

_SOURCE = "allocate.c"
_PATIENCE = 60.0


@dataclass(frozen=True)
class Plan:
    """How it is measured: `window` clients are busy at any time, `warm_up` allocations come before those that count."""

    rounds: int
    warm_up: int
    count: int
    window: int
    cores: Cores


@dataclass(frozen=True, slots=True)
class Round:
    """What the generator says of one round."""

    seconds: float
    allocations: int
    retransmitted: int
    server_cpu_ns: int
    generator_cpu_ns: int
    refreshes: int
    refresh_cpu_ns: int

    @property
    def cpu_us(self) -> float:
        """Microseconds of the server's CPU for each allocation."""
        return self.server_cpu_ns / 1000 / self.allocations

    @property
    def refresh_cpu_us(self) -> float:
        """Microseconds of the server's CPU for each Refresh."""
        return self.refresh_cpu_ns / 1000 / self.refreshes

    def __str__(self) -> str:
        loads = [cpu / 1e9 / self.seconds for cpu in (self.server_cpu_ns, self.generator_cpu_ns)]
        return (
            f"{self.allocations / self.seconds:7,.0f} allocations/s {self.cpu_us:6.1f} us CPU each, "
            f"{self.refresh_cpu_us:5.1f} a Refresh, "
            f"{self.retransmitted} retransmitted, server {loads[0]:4.0%} generator {loads[1]:4.0%} of a core"
        )


def play(server: Server, plan: Plan) -> Round:
    """One round; raises ProgramError."""
    key = long_term_key(ACCOUNT.username, REALM, ACCOUNT.password, PasswordAlgorithm.MD5)
    words = (*server.address, plan.warm_up, plan.count, plan.window, server.pid, ACCOUNT.username, key.hex())
    return Round(**report(_SOURCE, [], " ".join(map(str, words)), plan.cores.generator, _PATIENCE))


def measure(servers: Sequence[Server], plan: Plan, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """A row for every server; all take their rounds in turn, and are compared with the first."""
    taken: dict[str, list[Round]] = {server.name: [] for server in servers}
    for number in range(plan.rounds):
        for server in servers:
            taken[server.name].append(play(server, plan))
            tell(f"allocate {number + 1}/{plan.rounds} {server.name:8} {taken[server.name][-1]}")
    peer = servers[0].name
    return [row(name, rounds, peer, taken[peer]) for name, rounds in taken.items()]


def row(engine: str, rounds: Sequence[Round], peer: str, theirs: Sequence[Round]) -> dict[str, Any]:
    """One entry of the file. `ratio` is the peer's CPU per Allocate over ours, `refresh_ratio` the same of a Refresh:
    above 1 we are cheaper."""
    (cpu, refresh), (their_cpu, their_refresh) = _medians(rounds), _medians(theirs)
    return {
        "case": "allocate",
        "engine": engine,
        "peer": peer,
        "allocations": sum(each.allocations for each in rounds),
        "allocations_per_second": round(statistics.median(each.allocations / each.seconds for each in rounds)),
        "retransmitted": sum(each.retransmitted for each in rounds),
        "cpu_us_per_allocate": round(cpu, 2),
        "peer_cpu_us_per_allocate": round(their_cpu, 2),
        "ratio": round(their_cpu / cpu, 3),
        "cpu_us_per_refresh": round(refresh, 2),
        "peer_cpu_us_per_refresh": round(their_refresh, 2),
        "refresh_ratio": round(their_refresh / refresh, 3),
    }


def _medians(rounds: Sequence[Round]) -> tuple[float, float]:
    """CPU per Allocate and per Refresh, in microseconds."""
    return statistics.median(each.cpu_us for each in rounds), statistics.median(each.refresh_cpu_us for each in rounds)
