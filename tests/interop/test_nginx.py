"""Behind nginx as it comes: buffering on, TLS in front. Events arrive when they happen, and none is lost when the proxy
is restarted."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser

from tests.interop.proxy import Nginx
from tests.processes import JOIN_KEY, Daemons

_WAIT = 30.0

#: Opens a session whose key is in a cookie, listens by EventSource, and gathers the data of messages.
_LISTEN = """async (key) => {
    const hello = { v: 1, token: key, rooms: ["r"] };
    const opened = await fetch("v1/sessions?cookie=1", { method: "POST", body: JSON.stringify(hello) });
    const { sid } = await opened.json();
    window.heard = [];
    window.source = new EventSource(`v1/sessions/${sid}/events`);
    source.onmessage = ({ data }) => {
        const frame = JSON.parse(data);
        if (frame.type === "message") heard.push(frame.data);
    };
    while (source.readyState !== EventSource.OPEN) await new Promise((resolve) => setTimeout(resolve, 20));
}"""
_HEARD = """async (number) => {
    while (heard.length < number) await new Promise((resolve) => setTimeout(resolve, 20));
    return heard;
}"""


@pytest.fixture
def nginx(daemons: Daemons, tmp_path: Path) -> Iterator[Nginx]:
    started = Nginx(daemons.signal_api(own={"trusted_proxies": ["127.0.0.1"]}).address("http"), tmp_path)
    yield started
    started.stop()


class Member:
    """A session over HTTP, through the proxy."""

    def __init__(self, http: httpx.AsyncClient, welcome: dict[str, Any]) -> None:
        self.http = http
        self.path = f"/v1/sessions/{welcome['sid']}"
        self.headers = {"Authorization": f"Bearer {welcome['key']}"}

    @classmethod
    async def enter(cls, http: httpx.AsyncClient) -> "Member":
        reply = await http.post("/v1/sessions", json={"v": 1, "token": JOIN_KEY, "rooms": ["r"]})
        assert reply.status_code == 201, reply.text
        return cls(http, reply.json())

    async def poll(self, after: str) -> dict[str, Any]:
        """What comes behind a position, as soon as there is something."""
        query = {"wait": "15"} | ({"after": after} if after else {})
        batch: dict[str, Any] = (await self.http.get(f"{self.path}/events", headers=self.headers, params=query)).json()
        return batch

    async def say(self, data: object) -> None:
        frame = {"type": "message", "room": "r", "to": "*", "data": data}
        reply = await self.http.post(f"{self.path}/messages", headers=self.headers, json=frame)
        assert reply.json()["results"][0]["ok"], reply.text


def client(nginx: Nginx) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=nginx.url, verify=False, timeout=_WAIT)  # noqa: S501 - its certificate is ours


async def test_a_stream_is_not_held_back(nginx: Nginx) -> None:
    """A proxy that buffers shows nothing of a stream before it ends, and this one does not end."""
    async with asyncio.timeout(_WAIT), client(nginx) as http:
        listener, speaker = await Member.enter(http), await Member.enter(http)
        headers = listener.headers | {"Accept": "text/event-stream"}
        async with http.stream("GET", f"{listener.path}/events", headers=headers) as stream:
            lines = stream.aiter_lines()
            while '"joined"' not in await anext(lines):
                pass
            for number in range(3):
                await speaker.say(number)
                while f'"data":{number}' not in await anext(lines):
                    pass


async def test_a_poll_waits_and_is_answered_when_something_happens(nginx: Nginx) -> None:
    async with asyncio.timeout(_WAIT), client(nginx) as http:
        listener, speaker = await Member.enter(http), await Member.enter(http)
        after, seen = "", list[str]()
        while "member.joined" not in seen:
            batch = await listener.poll(after)
            after = batch["next"]
            seen += [event["type"] for event in batch["events"]]
        polls = [asyncio.create_task(listener.poll(after)) for _ in range(2)]
        (early,), (waiting,) = await asyncio.wait(polls, return_when=asyncio.FIRST_COMPLETED)
        assert early.result()["superseded"], "by the other one, which therefore waits"
        await speaker.say("hello")
        assert [event["data"] for event in (await waiting)["events"]] == ["hello"]


async def test_an_event_source_loses_nothing_when_the_proxy_is_restarted(nginx: Nginx, chromium: Browser) -> None:
    context = await chromium.new_context(ignore_https_errors=True)
    page = await context.new_page()
    page.set_default_timeout(_WAIT * 1000)
    await page.goto(nginx.url)
    await page.evaluate(_LISTEN, JOIN_KEY)
    async with asyncio.timeout(3 * _WAIT), client(nginx) as http:
        speaker = await Member.enter(http)
        for number in range(3):
            await speaker.say(number)
        assert await page.evaluate(_HEARD, 3) == [0, 1, 2]
    nginx.stop()
    nginx.start()
    async with asyncio.timeout(3 * _WAIT), client(nginx) as http:
        speaker.http = http
        for number in range(3, 6):
            await speaker.say(number)
        assert await page.evaluate(_HEARD, 6) == [0, 1, 2, 3, 4, 5]
    await context.close()
