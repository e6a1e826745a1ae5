import asyncio

import pytest

from bench.signaling.deaths import Death, death_of_a_node, row
from bench.topology import Cores


@pytest.mark.requires("redis-server")
async def test_sessions_go_on_at_the_other_node() -> None:
    death = await death_of_a_node(4, Cores(None, None), asyncio.sleep)
    assert (death.clients, death.anew) == (4, 0)
    assert 0 < death.median_s <= death.p99_s
    assert death.most_s < 20


def test_a_row_tells_what_was_done() -> None:
    death = Death(200, 1, 0.6, 0.9, 1.0)
    assert row(death)["death"]["p99_s"] == 0.9
    assert "1 began anew" in str(death)
