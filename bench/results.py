"""What rounds say: medians of them, ratios of the medians, rows for the file."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.cases import Case
from bench.trouble import BenchError

#: Above it, a round says how a relay loses packets instead of what it costs to relay them.
LOSS_LIMIT = 0.001


class LossError(BenchError):
    """A server lost too many packets in every round."""


@dataclass(frozen=True, slots=True)
class Round:
    """What the generator counted in one round. Packets are counted at the far end, each direction by itself."""

    seconds: float
    sent: int
    delivered_to_peer: int
    delivered_to_client: int
    lost: int
    strange: int
    relay_cpu_ns: int
    device_cpu_ns: int
    generator_cpu_ns: int
    #: the median, and what 90 and 99 of 100 stay below; zeros without a rate
    round_trip_us: Sequence[float]

    @property
    def delivered(self) -> int:
        return self.delivered_to_peer + self.delivered_to_client

    @property
    def loss(self) -> float:
        return self.lost / self.sent if self.sent else 1.0

    @property
    def cpu_us_per_packet(self) -> float:
        """Microseconds of CPU for each packet that reached the far end: the relay's, and the kernel's where threads of
        its own receive for the relay."""
        spent = self.relay_cpu_ns + self.device_cpu_ns
        return spent / 1000 / self.delivered if self.delivered else float("inf")

    @property
    def process_us_per_packet(self) -> float:
        """The relay's part of that."""
        return self.relay_cpu_ns / 1000 / self.delivered if self.delivered else float("inf")

    @property
    def relay_load(self) -> float:
        """The part of a core that the relay used, and the kernel for it."""
        return (self.relay_cpu_ns + self.device_cpu_ns) / 1e9 / self.seconds

    @property
    def generator_load(self) -> float:
        """The part of a core that the generator used; near 1 while the relay's is not, it held the relay up."""
        return self.generator_cpu_ns / 1e9 / self.seconds

    def __str__(self) -> str:
        return (
            f"{self.delivered / self.seconds:9,.0f} packets/s {self.cpu_us_per_packet:6.2f} us CPU/packet "
            f"loss {self.loss:.4%} relay {self.relay_load:4.0%} generator {self.generator_load:4.0%} of a core"
        )

    @property
    def is_valid(self) -> bool:
        """Below zero, a loss says that packets were late by more than a round: no measurement either."""
        return self.delivered > 0 and abs(self.loss) <= LOSS_LIMIT


@dataclass(frozen=True, slots=True)
class Summary:
    """The rounds of one server in one case: medians of rates and costs, `delivered` and `loss` of all together."""

    offered_pps: float
    delivered_pps: float
    delivered: int
    loss: float
    cpu_us_per_packet: float
    process_us_per_packet: float


@dataclass(frozen=True, slots=True)
class Latency:
    """Medians of timed rounds, in microseconds, at so many round trips a second, and what a packet costs there."""

    rate: float
    median: float
    most_of_90: float
    most_of_99: float
    loss: float
    cpu_us_per_packet: float


def summarize(name: str, rounds: Sequence[Round]) -> Summary:
    """Leaves out rounds with a loss above LOSS_LIMIT; raises LossError when no other is there."""
    valid = [each for each in rounds if each.is_valid]
    if not valid:
        raise LossError(f"{name} lost or delayed more than {LOSS_LIMIT:.1%} in each of {len(rounds)} rounds")
    return Summary(
        offered_pps=statistics.median(each.sent / each.seconds for each in valid),
        delivered_pps=statistics.median(each.delivered / each.seconds for each in valid),
        delivered=sum(each.delivered for each in valid),
        loss=max(0.0, sum(each.lost for each in valid) / sum(each.sent for each in valid)),
        cpu_us_per_packet=statistics.median(each.cpu_us_per_packet for each in valid),
        process_us_per_packet=statistics.median(each.process_us_per_packet for each in valid),
    )


def summarize_latency(rate: float, rounds: Sequence[Round]) -> Latency:
    p50, p90, p99 = (statistics.median(each.round_trip_us[place] for each in rounds) for place in range(3))
    loss = max(0.0, sum(each.lost for each in rounds) / sum(each.sent for each in rounds))
    return Latency(rate, p50, p90, p99, loss, statistics.median(each.cpu_us_per_packet for each in rounds))


def row(case: Case, server: str, peer: str, topology: str, ours: Summary, theirs: Summary) -> dict[str, Any]:
    """One entry of the file. `ratio` is the peer's CPU per packet over ours: above 1 we are cheaper."""
    return _about(case, server, peer, topology) | {
        "offered_pps": round(ours.offered_pps),
        "delivered_pps": round(ours.delivered_pps),
        "delivered": ours.delivered,
        "loss": round(ours.loss, 6),
        "cpu_us_per_packet": round(ours.cpu_us_per_packet, 3),
        "process_us_per_packet": round(ours.process_us_per_packet, 3),
        "ratio": round(theirs.cpu_us_per_packet / ours.cpu_us_per_packet, 3),
    }


def latency_entry(latency: Latency) -> dict[str, Any]:
    """What a row says of round trips."""
    return {
        "round_trips_per_second": round(latency.rate),
        "p50_us": round(latency.median, 1),
        "p90_us": round(latency.most_of_90, 1),
        "p99_us": round(latency.most_of_99, 1),
        "loss": round(latency.loss, 6),
        "cpu_us_per_packet": round(latency.cpu_us_per_packet, 3),
    }


def missing_row(case: Case, server: str, peer: str, topology: str, reason: str) -> dict[str, Any]:
    """The entry of a server that could not be measured."""
    return _about(case, server, peer, topology) | {"missing": reason}


def _about(case: Case, server: str, peer: str, topology: str) -> dict[str, Any]:
    return {
        "case": case.kind.value,
        "name": case.name,
        "engine": server,
        "allocations": case.allocations,
        "size": case.size,
        "direction": case.direction.value,
        "train": case.train,
        "topology": topology,
        "peer": peer,
    }
