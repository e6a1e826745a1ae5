"""A node on a real socket, and a session that was opened there over HTTP."""

from collections.abc import AsyncIterator

import pytest

from tests.signal_api.service import Service
from tests.signal_api.transports.web import Web, web


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service() as running:
        yield running


@pytest.fixture
async def session(service: Service) -> AsyncIterator[Web]:
    async with web(service, rooms=["r"]) as opened:
        yield opened
