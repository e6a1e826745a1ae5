import asyncio

import pytest

from signal_api.pacing import paced


@pytest.mark.parametrize(("window", "slept"), [(10.0, 0.5), (0.2, 0.2), (0.0, 0.0)])
async def test_all_are_done_within_the_window_and_not_at_once(
    monkeypatch: pytest.MonkeyPatch, window: float, slept: float
) -> None:
    naps: list[float] = []

    async def nap(seconds: float) -> None:
        naps.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", nap)
    assert [item async for item in paced(range(100), window)] == list(range(100))
    assert sum(naps) == pytest.approx(slept, abs=0.02)
    assert all(seconds >= 0.01 for seconds in naps)
