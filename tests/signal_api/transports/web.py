"""Clients of the HTTP transports: over a real server, and by bare ASGI calls that can be cut off at any moment."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx

from signal_api.clients import VISITOR, Visitor
from signal_api.web.asgi import App, Message
from tests.signal_api.service import Service
from tests.signal_api.worlds import JOIN_KEY

STREAM = {"accept": "text/event-stream"}


class Event(NamedTuple):
    """One event of a stream: its id, when it has one, and its frame."""

    id: str | None
    frame: dict[str, Any]


class Stream:
    """A stream that is being read."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response
        self.comments: list[str] = []
        self._lines = response.aiter_lines()
        self._last: str | None = None

    async def line(self) -> str:
        async with asyncio.timeout(20):
            return await anext(self._lines)

    async def event(self) -> Event:
        """The next event; comments are kept aside."""
        while True:
            line = await self.line()
            name, _, value = line.partition(": ")
            if name == "":
                self.comments += [value] if value else []
            if name == "id":
                self._last = value
            if name == "data":
                given, self._last = self._last, None
                return Event(given, json.loads(value))

    async def hear(self, kind: str) -> Event:
        while (event := await self.event()).frame["type"] != kind:
            pass
        return event


class Web:
    """One session over HTTP, against a running service."""

    def __init__(self, service: Service, http: httpx.AsyncClient, welcome: dict[str, Any]) -> None:
        self.service = service
        self.http = http
        self.welcome = welcome
        self.path = f"/v1/sessions/{welcome['sid']}"
        self.key = {"Authorization": f"Bearer {welcome['key']}"}

    def at(self, seq: int) -> str:
        return f"{self.welcome['epoch']}.{seq}"

    @asynccontextmanager
    async def stream(self, last: str | None = None, **query: Any) -> AsyncIterator[Stream]:
        headers = self.key | STREAM | ({"Last-Event-ID": last} if last else {})
        async with self.http.stream("GET", f"{self.path}/events", headers=headers, params=query) as response:
            yield Stream(response)

    async def poll(self, **query: Any) -> dict[str, Any]:
        reply = await self.http.get(f"{self.path}/events", headers=self.key, params=query)
        assert reply.status_code == 200, reply.text
        batch: dict[str, Any] = reply.json()
        return batch

    async def post(self, *frames: dict[str, Any]) -> httpx.Response:
        return await self.http.post(f"{self.path}/messages", headers=self.key, json=list(frames))


@asynccontextmanager
async def web(service: Service, **hello: Any) -> AsyncIterator[Web]:
    """Opens a session by POST."""
    await service.start()
    async with httpx.AsyncClient(base_url=f"http://{service.authority}", timeout=20) as http:
        reply = await http.post("/v1/sessions", json={"v": 1, "token": JOIN_KEY} | hello)
        assert reply.status_code == 201, reply.text
        yield Web(service, http, reply.json())


class Call:
    """One request, straight into an ASGI app."""

    def __init__(self, app: App, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> None:
        path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "scheme": "http",
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            VISITOR: Visitor(b"s", "signal.example", is_local=False),
        }
        self.sent: list[Message] = []
        self._coming: asyncio.Queue[Message] = asyncio.Queue()
        self._coming.put_nowait({"type": "http.request", "body": body})
        self.task = asyncio.ensure_future(app(scope, self._coming.get, self._send))

    async def _send(self, message: Message) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    def frames(self) -> list[dict[str, Any]]:
        """The frames of an event stream so far."""
        return [json.loads(line[6:]) for line in self.body.decode().splitlines() if line.startswith("data: ")]

    async def cut(self) -> None:
        """The client goes away."""
        self._coming.put_nowait({"type": "http.disconnect"})
        await self.task
