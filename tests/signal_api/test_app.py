"""The app as a whole: pages beside the API, and what an error looks like."""

from collections.abc import AsyncIterator

import pytest

from tests.signal_api.service import Service
from tests.signal_api.worlds import JOIN_KEY


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service() as running:
        yield running


async def test_the_page_stands_at_the_root(service: Service) -> None:
    reply = await service.http.get("/")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/html")
    again = await service.http.get("/", headers={"If-None-Match": reply.headers["etag"]})
    assert again.status_code == 304


async def test_the_page_loads_nothing_from_elsewhere_and_all_of_its_parts_are_there(service: Service) -> None:
    page = (await service.http.get("/")).text
    assert "http://" not in page
    assert "https://" not in page
    assert "<style" not in page
    assert "onclick" not in page


async def test_a_bug_is_a_problem_without_its_details(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(service.instruments.ice_issued, ("webrtc",))
    reply = await service.http.get("/v1/ice", headers={"Authorization": f"Bearer {JOIN_KEY}"})
    assert (reply.status_code, reply.json()["code"]) == (500, "internal")
    assert "KeyError" not in reply.text


async def test_other_verbs_are_no_way_in(service: Service) -> None:
    for method in ("PUT", "DELETE", "PATCH", "TRACE"):
        reply = await service.http.request(method, "/")
        assert (reply.status_code, reply.json()["code"]) == (405, "method_not_allowed")
