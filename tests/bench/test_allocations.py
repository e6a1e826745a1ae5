import json
import os
from collections.abc import Iterator

import pytest

from bench.allocations import Plan, Round, measure, row
from bench.lineup import start
from bench.servers import Server
from bench.topology import Cores, Loopback


def test_a_row_says_how_much_cheaper_we_are() -> None:
    rounds = [Round(0.5, 1000, 0, cpu * 1_000_000, 90_000_000, 1100, 22_000_000) for cpu in (100, 110, 400)]
    theirs = [Round(0.5, 1000, 0, 143_000_000, 90_000_000, 1100, 33_000_000)]
    entry = row("python", rounds, "coturn", theirs)
    assert json.loads(json.dumps(entry)) == {
        "case": "allocate",
        "engine": "python",
        "peer": "coturn",
        "allocations": 3000,
        "allocations_per_second": 2000,
        "retransmitted": 0,
        "cpu_us_per_allocate": 110.0,
        "peer_cpu_us_per_allocate": 143.0,
        "ratio": 1.3,
        "cpu_us_per_refresh": 20.0,
        "peer_cpu_us_per_refresh": 30.0,
        "refresh_ratio": 1.5,
    }
    assert "server  20% generator  18%" in str(rounds[0])


@pytest.fixture
def server() -> Iterator[Server]:
    server = start("python", Loopback(), Cores(None, None))
    yield server
    server.stop()


@pytest.mark.requires("gcc")
def test_every_allocation_is_made_refreshed_and_deleted(server: Server) -> None:
    plan = Plan(2, 5, 40, 8, Cores(None, None))
    (entry,) = measure([server], plan, lambda line: None)
    assert entry["allocations"] == 80
    assert entry["cpu_us_per_allocate"] > 1
    assert entry["cpu_us_per_refresh"] > 1
    assert len(os.listdir(f"/proc/{server.pid}/fd")) < 40
