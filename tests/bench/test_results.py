import json

import pytest

from bench.cases import Case, Direction, Framing
from bench.results import LossError, Round, Summary, row, summarize


def a_round(cpu_us: float = 10.0, sent: int = 100_000, lost: int = 0, seconds: float = 1.0) -> Round:
    """A round whose relay took `cpu_us` for each packet that arrived."""
    delivered = sent - lost
    return Round(
        seconds=seconds,
        sent=sent,
        delivered_to_peer=delivered // 2,
        delivered_to_client=delivered - delivered // 2,
        lost=lost,
        strange=0,
        relay_cpu_ns=round(cpu_us * 1000 * delivered),
        generator_cpu_ns=500_000_000,
    )


def test_a_round_counts_what_arrived_in_both_directions() -> None:
    both = Round(2.0, 1000, 300, 200, 1, 0, 1_000_000, 1_000_000_000)
    assert both.delivered == 500
    assert both.cpu_us_per_packet == 2.0
    assert both.loss == 0.001
    assert both.generator_load == 0.5
    assert both.relay_load == 0.0005
    assert "loss 0.1000%" in str(both)


def test_a_round_in_which_nothing_arrives_is_no_measurement() -> None:
    for dead in (Round(1.0, 64, 0, 0, 64, 0, 5, 5), Round(1.0, 0, 0, 0, 0, 0, 0, 0)):
        assert not dead.is_valid
        assert dead.cpu_us_per_packet == float("inf")


def test_medians_leave_outliers_out() -> None:
    summary = summarize("relay", [a_round(10), a_round(90, sent=10_000), a_round(12)])
    assert summary.cpu_us_per_packet == 12
    assert summary.offered_pps == 100_000
    assert summary.delivered == 210_000
    assert summary.loss == 0


def test_rounds_with_too_much_loss_do_not_count() -> None:
    summary = summarize("relay", [a_round(10, lost=100), a_round(1, lost=101), a_round(10)])
    assert summary.cpu_us_per_packet == 10
    assert summary.delivered == 199_900
    assert summary.loss == 0.0005
    assert not a_round(lost=-200).is_valid
    assert summarize("relay", [a_round(lost=-50)]).loss == 0
    with pytest.raises(LossError, match=r"relay .* each of 2 rounds"):
        summarize("relay", [a_round(lost=101), a_round(lost=50_000)])


def test_a_row_has_the_shape_that_its_readers_know() -> None:
    case = Case(100, 172, Direction.BOTH, Framing.CHANNEL)
    entry = row(case, "python", "coturn", Summary(90_000.4, 450_000, 0.00001, 12.0), Summary(1.0, 1, 0.0, 9.0))
    assert json.loads(json.dumps(entry)) == {
        "case": "relay-channel-both-172B-100",
        "engine": "python",
        "allocations": 100,
        "size": 172,
        "direction": "both",
        "peer": "coturn",
        "offered_pps": 90_000,
        "delivered": 450_000,
        "loss": 0.00001,
        "cpu_us_per_packet": 12.0,
        "ratio": 0.75,
    }
