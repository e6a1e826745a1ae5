import json

import pytest

from bench.lineup import start
from bench.memory import Reading, measure, ratios, row
from bench.topology import Cores, Loopback


def test_a_row_divides_what_was_added() -> None:
    entry = row("python", Reading(1_000_000, 5_000), Reading(1_500_000, 905_000), 100)
    assert json.loads(json.dumps(entry)) == {
        "case": "memory",
        "engine": "python",
        "allocations": 100,
        "rss_bytes_idle": 1_000_000,
        "rss_bytes_per_allocation": 5_000,
        "rss_and_kernel_bytes_per_allocation": 9_000,
    }
    uncounted = row("python", Reading(0, None), Reading(100, None), 1)
    assert "no memory cgroup" in uncounted["rss_and_kernel_bytes_per_allocation"]


def test_rows_are_compared_with_the_first() -> None:
    rows = [{"engine": name, "rss_bytes_per_allocation": held} for name, held in (("coturn", 20_000), ("ours", 5_000))]
    ratios(rows)
    assert [(each["peer"], each["ratio"]) for each in rows] == [("coturn", 1.0), ("coturn", 4.0)]


def test_an_allocation_of_turnd_is_weighed() -> None:
    said: list[str] = []
    entry = measure(lambda: start("python", Loopback(), Cores(None, None)), 100, said.append)
    assert 500 < entry["rss_bytes_per_allocation"] < 64_000
    assert "python" in said[0]


@pytest.mark.requires("turnserver")
def test_an_allocation_of_coturn_is_weighed() -> None:
    entry = measure(lambda: start("coturn", Loopback(), Cores(None, None)), 100, lambda line: None)
    assert 5_000 < entry["rss_bytes_per_allocation"] < 64_000
