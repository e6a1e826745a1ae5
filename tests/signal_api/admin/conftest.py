"""A service with a key for everything, and one for nothing much."""

from collections.abc import AsyncIterator

import httpx
import pytest

from signal_api.api_keys import Scope
from tests.signal_api.service import Service

ROOT_KEY, READER_KEY = "root-key-0123456789abcdef", "reader-key-0123456789abcdef"
KEYS = [
    {"name": "root", "value": ROOT_KEY, "scopes": [scope.value for scope in Scope]},
    {"name": "reader", "value": READER_KEY, "scopes": ["rooms:read"]},
]


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service(api_keys=KEYS) as running:
        yield running


@pytest.fixture
async def admin(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """Requests by the key for everything, relative to /v1/admin."""
    transport = httpx.ASGITransport(service.app, client=("192.0.2.1", 50000), raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {ROOT_KEY}"}
    base = f"http://{service.authority}/v1/admin"
    async with httpx.AsyncClient(transport=transport, base_url=base, headers=headers) as client:
        yield client
