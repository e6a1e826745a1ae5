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
    generator_cpu_ns: int

    @property
    def delivered(self) -> int:
        return self.delivered_to_peer + self.delivered_to_client

    @property
    def loss(self) -> float:
        return self.lost / self.sent if self.sent else 1.0

    @property
    def cpu_us_per_packet(self) -> float:
        """Microseconds of the relay's CPU for each packet that reached the far end."""
        return self.relay_cpu_ns / 1000 / self.delivered if self.delivered else float("inf")

    @property
    def relay_load(self) -> float:
        """The part of a core that the relay used."""
        return self.relay_cpu_ns / 1e9 / self.seconds

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
    delivered: int
    loss: float
    cpu_us_per_packet: float


def summarize(name: str, rounds: Sequence[Round]) -> Summary:
    """Leaves out rounds with a loss above LOSS_LIMIT; raises LossError when no other is there."""
    valid = [each for each in rounds if each.is_valid]
    if not valid:
        raise LossError(f"{name} lost or delayed more than {LOSS_LIMIT:.1%} in each of {len(rounds)} rounds")
    return Summary(
        offered_pps=statistics.median(each.sent / each.seconds for each in valid),
        delivered=sum(each.delivered for each in valid),
        loss=max(0.0, sum(each.lost for each in valid) / sum(each.sent for each in valid)),
        cpu_us_per_packet=statistics.median(each.cpu_us_per_packet for each in valid),
    )


def row(case: Case, engine: str, peer: str, ours: Summary, theirs: Summary) -> dict[str, Any]:
    """One entry of the file. `ratio` is the peer's CPU per packet over ours: above 1 we are cheaper."""
    return {
        "case": case.name,
        "engine": engine,
        "allocations": case.allocations,
        "size": case.size,
        "direction": case.direction.value,
        "peer": peer,
        "offered_pps": round(ours.offered_pps),
        "delivered": ours.delivered,
        "loss": round(ours.loss, 6),
        "cpu_us_per_packet": round(ours.cpu_us_per_packet, 3),
        "ratio": round(theirs.cpu_us_per_packet / ours.cpu_us_per_packet, 3),
    }
