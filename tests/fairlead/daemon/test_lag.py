import asyncio
import time

from fairlead.daemon.lag import LagSampler
from fairlead.metrics import Metrics
from tests.waiting import eventually


def buckets(metrics: Metrics) -> dict[str, float]:
    lines = metrics.expose()[1].decode().splitlines()
    found = [line for line in lines if line.startswith("stund_loop_lag_seconds_bucket")]
    return {line.split('"')[1]: float(line.rpartition(" ")[2]) for line in found}


async def test_a_loop_that_is_held_up_shows() -> None:
    metrics = Metrics("stund")
    sampler = LagSampler(metrics)
    sampler.start()
    try:
        await asyncio.sleep(0)
        time.sleep(0.4)  # noqa: ASYNC251  # holding the loop up is the point: 0.15 s beyond the sample that is due
        await eventually(lambda: buckets(metrics)["+Inf"])
    finally:
        sampler.stop()
    # Others may have been taken since, in time.
    assert buckets(metrics)["+Inf"] - buckets(metrics)["0.1"] >= 1


async def test_a_sampler_that_was_not_started_can_be_stopped() -> None:
    LagSampler(Metrics("stund")).stop()
