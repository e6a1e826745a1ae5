import asyncio
import json
import os
from collections.abc import Iterator

import pytest

from bench.signaling.measures import Plan, Round, cpu_seconds, measure, resident_kib, rows
from bench.signaling.servers import SignalApi

_PLAN = Plan(rounds=1, idle=20, pairs=4, rate=100, seconds=0.5)


@pytest.fixture
def server() -> Iterator[SignalApi]:
    server = SignalApi(None, 100)
    yield server
    server.stop()


async def test_every_frame_arrives_and_costs_something(server: SignalApi) -> None:
    one = await measure(server, _PLAN, asyncio.sleep)
    assert one.lost == 0
    assert one.frame_us > 0
    assert one.connect_us > 0
    assert 0 < one.p50_ms <= one.p99_ms
    assert "us a frame" in str(one)


def test_a_row_holds_the_medians() -> None:
    rounds = {"a": [Round(10, 1, 1, frame, 1, 0, 1, 1) for frame in (30, 50, 40)]}
    (row,) = rows(rounds, {"a": "1.0"}, _PLAN)
    assert json.loads(json.dumps(row))["frame_us"] == 40
    assert (row["server"], row["version"], row["plan"]["idle"]) == ("a", "1.0", 20)


def test_the_machine_is_read() -> None:
    before = cpu_seconds(os.getpid())
    sum(range(2_000_000))
    assert cpu_seconds(os.getpid()) > before
    assert resident_kib(os.getpid()) > 10_000
