import asyncio
import json
from collections.abc import Iterator

import pytest

from bench.signaling.measures import (
    Frames,
    Plan,
    Round,
    generator_alone,
    idle_clients,
    relayed_frames,
    rows,
)
from bench.signaling.servers import SignalApi

_PLAN = Plan(rounds=1, idle=20, pairs=4, rate=100, fast_rate=200, seconds=0.5)


@pytest.fixture
def server() -> Iterator[SignalApi]:
    server = SignalApi(None, 100)
    yield server
    server.stop()


async def test_every_frame_arrives_and_costs_something(server: SignalApi) -> None:
    slow, fast = await relayed_frames(server, _PLAN, asyncio.sleep)
    for frames in (slow, fast):
        assert frames.lost == 0
        assert frames.cpu_us > 0
        assert 0 < frames.p50_ms <= frames.p99_ms
    assert (slow.asked_per_second, fast.asked_per_second) == (100, 200)
    assert "us a frame" in str(slow)


async def test_an_idle_client_costs_something(server: SignalApi) -> None:
    _, connect, rate = await idle_clients(server, _PLAN, asyncio.sleep)
    assert connect > 0
    assert rate > 0


def test_the_load_is_measured_alone() -> None:
    paces = generator_alone(_PLAN)
    assert [(alone.lost, alone.asked_per_second) for alone in paces] == [(0, 100), (0, 200)]


def test_a_pace_that_was_not_reached_says_so() -> None:
    assert "NOT REACHED" in str(Frames(10000, 9000, 1, 0, 1, 1))
    assert "NOT REACHED" not in str(Frames(10000, 9990, 1, 0, 1, 1))


def test_a_row_holds_the_medians() -> None:
    rounds = {"a": [Round(10, 1, 1, Frames(1, 1, cpu, 0, 1, 1), Frames(2, 1, 1, 0, 1, 1)) for cpu in (30, 50, 40)]}
    (row,) = rows(rounds, {"a": "1.0"}, _PLAN)
    assert json.loads(json.dumps(row))["frames"]["cpu_us"] == 40
    assert (row["server"], row["version"], row["plan"]["idle"]) == ("a", "1.0", 20)
