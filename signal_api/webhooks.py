"""Events for back ends, by signed POSTs: each is sent until it is taken, or until that is given up.

The format is that of standardwebhooks.com: `webhook-id`, `webhook-timestamp`, and `webhook-signature: v1,<base64 of
HMAC-SHA256 over "id.timestamp.body">`. A receiver that takes an event twice knows it by its id.
"""

import asyncio
import base64
import contextlib
import hmac
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import httpx
import msgspec

from fairlead.clock import Entropy
from fairlead.log import get_logger
from signal_api.protocol.sessions import name
from signal_api.timers import Clock

_log = get_logger("signal_api.webhooks")

#: what may be told
EVENTS = (
    "room.created",
    "room.closed",
    "member.joined",
    "member.left",
    "allocation.created",
    "allocation.refused",
    "allocation.ended",
    "quota",
    "report",
)
#: events that wait for one endpoint; beyond it the oldest is given up
QUEUE = 1000
#: seconds before each further attempt; after the last one the event is given up
PAUSES = (1.0, 5.0, 30.0, 120.0)
#: seconds for one attempt, and for what is still to be said when the daemon stops
_TIMEOUT, _LAST_WORDS = 10.0, 2.0
#: bytes of an answer and seconds for them, behind its status: one that is short leaves the connection to the next
_ANSWER, _ANSWERING = 4096, 1.0
#: answers after which an event may be taken yet, beside 5xx
_AGAIN = frozenset({408, 425, 429})


class Endpoint(NamedTuple):
    """Where events go, which of them (none: all), and the key that signs them."""

    url: str
    key: bytes
    events: frozenset[str] = frozenset()


class Occasion(NamedTuple):
    """One event, ready to be sent."""

    id: str
    at: int
    type: str
    body: bytes


def signing_key(secret: str) -> bytes:
    """`whsec_` before base64, as the libraries of receivers write it, or any other text as it is; raises ValueError."""
    scheme, _, rest = secret.partition("whsec_")
    return base64.b64decode(rest, validate=True) if not scheme and rest else secret.encode()


def signature(key: bytes, occasion: Occasion, timestamp: int) -> str:
    signed = f"{occasion.id}.{timestamp}.".encode() + occasion.body
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


class Post:
    """The way to one endpoint: events in their order, one at a time. Whoever adds one never waits."""

    def __init__(self, endpoint: Endpoint, clock: Clock, count: Callable[[str], None]) -> None:
        self.endpoint = endpoint
        self._clock = clock
        self._count = count
        self._waiting: deque[Occasion] = deque()
        self._added = asyncio.Event()
        self._is_failing = False

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, occasion: Occasion) -> None:
        if self.endpoint.events and occasion.type not in self.endpoint.events:
            return
        if len(self._waiting) >= QUEUE:
            self._waiting.popleft()
            self._count("dropped")
        self._waiting.append(occasion)
        self._added.set()

    async def run(self, client: httpx.AsyncClient) -> None:
        while True:
            while self._waiting:
                occasion = self._waiting[0]
                result = await self._deliver(client, occasion)
                self._count(result)
                # A full queue may have given it up meanwhile.
                if self._waiting and self._waiting[0] is occasion:
                    self._waiting.popleft()
            self._added.clear()
            await self._added.wait()

    async def empty(self) -> None:
        while self._waiting:  # noqa: ASYNC110  # at the end of the process only
            await asyncio.sleep(0.02)

    async def _deliver(self, client: httpx.AsyncClient, occasion: Occasion) -> str:
        for pause in (*PAUSES, None):
            problem = await self._try(client, occasion)
            if problem is None:
                self._is_failing = False
                return "delivered"
            if not self._is_failing:
                self._is_failing = True
                _log.warning(
                    "a webhook is not taken",
                    host=httpx.URL(self.endpoint.url).host,
                    type=occasion.type,
                    problem=problem,
                )
            if pause is None or problem.startswith("refused"):
                return "failed"
            self._count("retried")
            await asyncio.sleep(pause)
        raise AssertionError  # The last pause is None.

    async def _try(self, client: httpx.AsyncClient, occasion: Occasion) -> str | None:
        """What was wrong, None when the event was taken."""
        timestamp = int(self._clock.now().wall)
        headers = {
            "content-type": "application/json",
            "webhook-id": occasion.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self.endpoint.key, occasion, timestamp),
        }
        try:
            status = await _post(client, self.endpoint.url, occasion.body, headers)
        except (httpx.HTTPError, OSError) as error:
            return f"{type(error).__name__}: {error}"
        if httpx.codes.is_success(status):
            return None
        again = status in _AGAIN or httpx.codes.is_server_error(status)
        return f"answered {status}" if again else f"refused with {status}"


async def _post(client: httpx.AsyncClient, url: str, body: bytes, headers: dict[str, str]) -> int:
    """The status, which is all that counts: an answer that does not end keeps no other event waiting. Raises OSError
    and httpx.HTTPError."""
    request = client.build_request("POST", url, content=body, headers=headers)
    async with asyncio.timeout(_TIMEOUT):
        reply = await client.send(request, stream=True)
    try:
        with contextlib.suppress(TimeoutError, httpx.HTTPError, OSError):
            async with asyncio.timeout(_ANSWERING):
                await _read_out(reply)
    finally:
        await reply.aclose()
    return reply.status_code


async def _read_out(reply: httpx.Response) -> None:
    heard = 0
    async for part in reply.aiter_raw():
        heard += len(part)
        if heard > _ANSWER:
            return


class Webhooks:
    """All endpoints. Without any, telling costs a look."""

    def __init__(self, clock: Clock, entropy: Entropy, count: Callable[[str], None]) -> None:
        self._clock = clock
        self._entropy = entropy
        self._count = count
        self._posts: tuple[Post, ...] = ()
        self._tasks: list[asyncio.Task[None]] = []
        self._client: httpx.AsyncClient | None = None
        self._serials = itertools.count(1)
        self._prefix = f"evt_{name(entropy, 8)}"

    def __bool__(self) -> bool:
        return bool(self._posts)

    def waiting(self) -> int:
        return sum(map(len, self._posts))

    def start(self, endpoints: Sequence[Endpoint]) -> None:
        """Needs a running event loop; redirects are not followed, and no proxy of the environment is used."""
        if not endpoints:
            return
        self._client = httpx.AsyncClient(timeout=_TIMEOUT, trust_env=False)
        self._posts = tuple(Post(endpoint, self._clock, self._count) for endpoint in endpoints)
        self._tasks = [asyncio.get_running_loop().create_task(post.run(self._client)) for post in self._posts]

    def tell(self, kind: str, data: dict[str, Any]) -> None:
        """Queues an event for every endpoint that wants it."""
        if not self._posts:
            return
        wall = self._clock.now().wall
        body = msgspec.json.encode({"type": kind, "timestamp": round(wall * 1000), "data": data})
        occasion = Occasion(f"{self._prefix}{next(self._serials)}", round(wall), kind, body)
        for post in self._posts:
            post.add(occasion)

    async def stop(self) -> None:
        """Waits a moment for what is on its way."""
        if self._client is None:
            return
        try:
            async with asyncio.timeout(_LAST_WORDS):
                await asyncio.gather(*(post.empty() for post in self._posts))
        except TimeoutError:
            _log.warning("events were not delivered", number=self.waiting())
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()
