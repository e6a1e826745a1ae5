"""The service that the clients are tested against."""

from collections.abc import AsyncIterator

import pytest

from tests.signal_api.service import Service


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service() as running:
        await running.start()
        yield running
