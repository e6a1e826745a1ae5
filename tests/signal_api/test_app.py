"""The app as a whole: pages beside the API, and what an error looks like."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urljoin

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


_PARTS = re.compile(r"""(?:href|src)="([^"#]+)"|from "(\./[^"]+)\"""")
_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


async def test_every_part_of_the_pages_is_there_and_from_here(service: Service) -> None:
    """It works without a network: nothing is loaded from elsewhere, and nothing that the content policy would stop."""
    seen: set[str] = set()
    found = ["/"]
    while found:
        path = found.pop()
        reply = await service.http.get(path)
        assert reply.status_code == 200, path
        assert reply.headers["content-type"].startswith(_KINDS.get(Path(path).suffix, "text/html")), path
        assert not re.search(r"https?://(?!\$|www\.w3\.org/2000/svg)", reply.text), path
        seen.add(path)
        parts = {urljoin(path, one or two) for one, two in _PARTS.findall(reply.text)}
        found += parts - seen
    assert {
        "/style.css",
        "/page.js",
        "/tile.js",
        "/peer.js",
        "/signaling.js",
        "/paths.js",
        "/media.js",
        "/icon.svg",
        "/chat.js",
        "/test/",
        "/test/tester.css",
        "/test/tester.js",
        "/test/checks.js",
        "/test/verdict.js",
    } <= seen
    for page in ("/", "/test/"):
        assert not re.search(r"<style| style=| on[a-z]+=|<script>", (await service.http.get(page)).text)


async def test_a_bug_is_a_problem_without_its_details(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(service.instruments.ice_issued, ("webrtc",))
    reply = await service.http.get("/v1/ice", headers={"Authorization": f"Bearer {JOIN_KEY}"})
    assert (reply.status_code, reply.json()["code"]) == (500, "internal")
    assert "KeyError" not in reply.text


async def test_other_verbs_are_no_way_in(service: Service) -> None:
    for method in ("PUT", "DELETE", "PATCH", "TRACE"):
        reply = await service.http.request(method, "/")
        assert (reply.status_code, reply.json()["code"]) == (405, "method_not_allowed")
