import json

import pytest

from bench.cases import Case, Direction, Framing
from bench.results import LossError, Round, Summary, latency_entry, row, summarize, summarize_latency


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
        device_cpu_ns=0,
        generator_cpu_ns=500_000_000,
        round_trip_us=(0.0, 0.0, 0.0),
    )


def dead_round(sent: int) -> Round:
    return Round(1.0, sent, 0, 0, sent, 0, 5, 0, 5, (0.0, 0.0, 0.0))


def test_a_round_counts_what_arrived_in_both_directions() -> None:
    both = Round(2.0, 1000, 300, 200, 1, 0, 1_000_000, 0, 1_000_000_000, (0.0, 0.0, 0.0))
    assert both.delivered == 500
    assert both.cpu_us_per_packet == 2.0
    assert both.loss == 0.001
    assert both.generator_load == 0.5
    assert both.relay_load == 0.0005
    assert "loss 0.1000%" in str(both)


def test_a_round_in_which_nothing_arrives_is_no_measurement() -> None:
    for dead in (dead_round(sent=64), dead_round(sent=0)):
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
    ours, theirs = Summary(90_000.4, 89_999.6, 450_000, 0.00001, 12.0, 8.0), Summary(1.0, 1.0, 1, 0.0, 9.0, 9.0)
    entry = row(case, "python", "coturn", "namespaces", ours, theirs)
    assert json.loads(json.dumps(entry)) == {
        "case": "interleaved",
        "name": "relay-channel-both-172B-100",
        "engine": "python",
        "allocations": 100,
        "size": 172,
        "direction": "both",
        "train": 1,
        "topology": "namespaces",
        "peer": "coturn",
        "offered_pps": 90_000,
        "delivered_pps": 90_000,
        "delivered": 450_000,
        "loss": 0.00001,
        "cpu_us_per_packet": 12.0,
        "process_us_per_packet": 8.0,
        "ratio": 0.75,
    }


def test_what_the_kernel_does_for_a_relay_counts_as_its_own() -> None:
    both = Round(1.0, 1000, 500, 500, 0, 0, 3_000_000, 1_000_000, 1, (0, 0, 0))
    assert (both.cpu_us_per_packet, both.process_us_per_packet) == (4.0, 3.0)
    assert both.relay_load == 0.004


def test_round_trips_are_medians_of_their_rounds() -> None:
    rounds = [
        Round(1.0, 1000, 500, 500, lost, 0, 1000, 0, 1, (p50, 2 * p50, 900.0))
        for lost, p50 in ((0, 50.0), (2, 90.0), (1, 70.0))
    ]
    entry = latency_entry(summarize_latency(5000.0, rounds))
    assert entry == {
        "round_trips_per_second": 5000,
        "p50_us": 70.0,
        "p90_us": 140.0,
        "p99_us": 900.0,
        "loss": 0.001,
        "cpu_us_per_packet": 0.001,
    }
