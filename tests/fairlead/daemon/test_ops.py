from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from fairlead.daemon.ops import OpsApp, Readiness
from fairlead.metrics import Metrics


class Ready:
    def __init__(self) -> None:
        self.now = Readiness(())

    async def __call__(self) -> Readiness:
        return self.now


@pytest.fixture
def ready() -> Ready:
    return Ready()


@pytest_asyncio.fixture
async def client(ready: Ready) -> AsyncIterator[httpx.AsyncClient]:
    app = OpsApp("stund", "1.2.3", Metrics("stund"), ready)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ops") as client:
        yield client


async def test_alive_is_who_answers(client: httpx.AsyncClient) -> None:
    response = await client.get("/healthz")
    assert response.status_code == 200
    assert response.json() == {"alive": True, "daemon": "stund", "version": "1.2.3"}
    assert response.headers["cache-control"] == "no-store"


async def test_not_ready_is_503_with_the_reasons(client: httpx.AsyncClient, ready: Ready) -> None:
    response = await client.get("/readyz")
    assert (response.status_code, response.json()) == (200, {"ready": True, "draining": False, "reasons": []})
    ready.now = Readiness(["draining"], draining=True)
    response = await client.get("/readyz")
    assert (response.status_code, response.json()) == (503, {"ready": False, "draining": True, "reasons": ["draining"]})
    assert (await client.get("/healthz")).status_code == 200


async def test_metrics_in_both_forms(client: httpx.AsyncClient) -> None:
    response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    assert "python_gc_collections_total" in response.text
    response = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


async def test_other_pages_and_methods(client: httpx.AsyncClient) -> None:
    response = await client.get("/")
    assert (response.status_code, response.json()) == (
        404,
        {"error": "the pages here are /healthz, /readyz and /metrics"},
    )
    assert (await client.post("/healthz")).status_code == 405
    head = await client.head("/healthz")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0


async def test_what_is_no_http_is_not_answered(ready: Ready) -> None:
    app = OpsApp("stund", "1.2.3", Metrics("stund"), ready)

    async def receive() -> dict[str, object]:
        raise AssertionError("nothing is read")

    async def send(message: object) -> None:
        raise AssertionError("nothing is sent")

    await app({"type": "websocket"}, receive, send)
