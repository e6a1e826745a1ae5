"""The ways to a session: each brings frames in their order, takes frames, and says how it ended."""

import abc
import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import httpx
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.typing import Origin, Subprotocol

from fairlead_client.entrances import origin_of
from fairlead_client.frames import Json, read_json
from fairlead_client.streams import events_of

#: frames that one request may bring, and bytes of them where there are several
_MOST_FRAMES, _MOST_BYTES = 32, 65536
#: seconds that a poll waits, and that any request may take beyond it
_POLL, _PATIENCE = 25, 10.0
#: seconds until something comes through a stream
_FIRST = 10.0
#: seconds that the end of a session may take to be said
_GOODBYE = 2.0
#: frames whose answer is a frame of its own
_ANSWERED = frozenset({"join"})
#: what the WebSocket protocol calls an end without a close
FAILED = 1006
_CLOSE_CODES = {400: 4000, 401: 4001, 403: 4005, 409: 4010, 413: 4013}


class ClosedError(Exception):
    """A connection has ended, or was never made; the codes are those of a WebSocket."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


class Line(Protocol):
    """An open connection. Both raise ClosedError when it is over."""

    async def receive(self) -> Json: ...

    async def send(self, frames: Sequence[Json]) -> None: ...

    async def close(self, leave: bool) -> None:
        """Ends it; with `leave`, and where there is a way to say that, the session as well."""
        ...


#: the server, a hello, and a name for what is asked for: again under the same name, it has no second effect
Opener = Callable[[str, Json, str], Awaitable[Line]]


class WebSocketLine:
    """A WebSocket that has said hello."""

    def __init__(self, socket: ClientConnection, base: str) -> None:
        self._socket = socket
        self._base = base
        self._welcome: Json | None = None

    async def receive(self) -> Json:
        try:
            frame: Json = read_json(await self._socket.recv())
        except ConnectionClosed as error:
            raise _closed(error) from None
        if frame["type"] == "welcome":
            self._welcome = frame["data"]
        return frame

    async def send(self, frames: Sequence[Json]) -> None:
        try:
            for frame in frames:
                await self._socket.send(json.dumps(frame))
        except ConnectionClosed as error:
            raise _closed(error) from None

    async def close(self, leave: bool) -> None:
        """A socket that closes may come back, so the end of the session is said by a request."""
        await self._socket.close()
        if leave and self._welcome is not None:
            headers = {"Authorization": f"Bearer {self._welcome['key']}"}
            with contextlib.suppress(httpx.HTTPError):  # It goes all the same: the server will miss it.
                async with httpx.AsyncClient(timeout=_GOODBYE) as http:
                    await http.delete(f"{self._base}/v1/sessions/{self._welcome['sid']}", headers=headers)


async def open_websocket(base: str, hello: Json, once: str) -> Line:
    """The server asks where a page comes from; a program comes from where it goes to."""
    url = f"{base.replace('http', 'ws', 1)}/v1/ws"
    try:
        socket = await dial(
            url,
            origin=Origin(origin_of(base)),
            subprotocols=[Subprotocol("sig.v1")],
            ping_interval=None,
            compression=None,
        )
        await socket.send(json.dumps({"type": "hello", "data": hello}))
    except ConnectionClosed as error:
        raise _closed(error) from None
    except (OSError, InvalidHandshake, InvalidURI, TimeoutError) as error:
        raise ClosedError(FAILED, str(error)) from None
    return WebSocketLine(socket, base)


def _closed(error: ConnectionClosed) -> ClosedError:
    return (
        ClosedError(error.rcvd.code, error.rcvd.reason) if error.rcvd is not None else ClosedError(FAILED, str(error))
    )


class HttpLine(abc.ABC):
    """A session by requests: one brings events, in its own way, and one at a time brings frames."""

    def __init__(self, http: httpx.AsyncClient, welcome: Json, after: str) -> None:
        self._http = http
        self._path = f"/v1/sessions/{welcome['sid']}"
        self._headers = {"Authorization": f"Bearer {welcome['key']}"}
        self._after = after
        first: Json = {"type": "welcome", "data": welcome}
        self._frames = deque([first if welcome["resumed"] else first | {"seq": 1}])
        self._news = asyncio.Event()
        self._posting = asyncio.Lock()
        self._failure: ClosedError | None = None
        self._reading = asyncio.create_task(self._run())

    async def receive(self) -> Json:
        while not self._frames:
            if self._failure is not None:
                raise self._failure
            self._news.clear()
            await self._news.wait()
        frame = self._frames.popleft()
        if frame["type"] == "close":
            raise ClosedError(frame["data"]["code"], frame["data"]["reason"])
        return frame

    async def send(self, frames: Sequence[Json]) -> None:
        try:
            async with self._posting:
                for some in _parcels(frames):
                    await self._post(some)
        except ClosedError as error:
            # Events may go on as if nothing had happened; what was not sent is sent again by the next connection.
            self._fail(error)
            raise

    async def close(self, leave: bool) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        try:
            if leave:
                await self._http.delete(self._path, headers=self._headers)
        except httpx.HTTPError:
            pass  # It goes all the same: the server will miss it.
        finally:
            await self._http.aclose()

    @abc.abstractmethod
    async def _read(self) -> None:
        """Brings events for as long as there are any; raises ClosedError."""

    async def _run(self) -> None:
        try:
            await self._read()
        except ClosedError as error:
            self._fail(error)
        except (httpx.HTTPError, ValueError) as error:
            self._fail(ClosedError(FAILED, str(error) or type(error).__name__))

    def _bring(self, *frames: Json) -> None:
        self._frames.extend(frames)
        self._news.set()

    def _fail(self, error: ClosedError) -> None:
        self._failure = error
        self._news.set()

    async def _post(self, frames: Sequence[Json]) -> None:
        body = await _ask(self._http, "POST", f"{self._path}/messages", json=list(frames), headers=self._headers)
        for frame, result in zip(frames, body["results"], strict=True):
            if "re" not in result:
                continue
            if not result["ok"]:
                self._bring({"type": "error", "re": result["re"], "data": result["error"]})
            elif frame["type"] not in _ANSWERED:
                self._bring({"type": "ok", "re": result["re"]})


def _parcels(frames: Sequence[Json]) -> Iterator[list[Json]]:
    """In their order, as many at once as a request may bring: one, whatever its size."""
    some, total = list[Json](), 0
    for frame in frames:
        size = len(json.dumps(frame)) + 1
        if some and (len(some) == _MOST_FRAMES or total + size > _MOST_BYTES):
            yield some
            some, total = [], 0
        some.append(frame)
        total += size
    if some:
        yield some


H = TypeVar("H", bound=HttpLine)


class PollLine(HttpLine):
    """Events by one question after the other."""

    async def _read(self) -> None:
        while True:
            query = {"after": self._after, "wait": str(_POLL)}
            body = await _ask(self._http, "GET", f"{self._path}/events", params=query, headers=self._headers)
            self._after = body["next"]
            self._bring(*body["events"])
            if any(event["type"] == "close" for event in body["events"]):
                return


class StreamLine(HttpLine):
    """Events by one reply that does not end; between them the server sends a sign of life."""

    def __init__(self, http: httpx.AsyncClient, welcome: Json, after: str) -> None:
        self._begun = asyncio.Event()
        super().__init__(http, welcome, after)

    async def begin(self) -> None:
        """Returns when something comes through: a proxy may hold the stream back. Raises ClosedError."""
        begun = asyncio.create_task(self._begun.wait())
        await asyncio.wait((begun, self._reading), timeout=_FIRST, return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        if not self._begun.is_set():
            await self.close(leave=False)
            raise self._failure or ClosedError(FAILED, "nothing comes through the stream")

    async def _read(self) -> None:
        headers = self._headers | {"Accept": "text/event-stream"}
        request = self._http.stream("GET", f"{self._path}/events", params={"after": self._after}, headers=headers)
        async with request as reply:
            if reply.status_code != httpx.codes.OK:
                await reply.aread()
                raise _refused(reply)
            async for event in events_of(reply.aiter_bytes()):
                self._begun.set()
                frame = read_json(event.data)
                if frame["type"] != "welcome" or not frame["data"]["resumed"]:  # That is known already.
                    self._bring(frame)
                if frame["type"] == "close":
                    return
        raise ClosedError(FAILED, "the stream ended")


async def open_polls(base: str, hello: Json, once: str) -> Line:
    return await _open(PollLine, base, hello, once)


async def open_stream(base: str, hello: Json, once: str) -> Line:
    line = await _open(StreamLine, base, hello, once)
    await line.begin()
    return line


async def _open(kind: type[H], base: str, hello: Json, once: str) -> H:
    http = httpx.AsyncClient(base_url=base, timeout=_POLL + _PATIENCE)
    try:
        welcome = await _ask(http, "POST", "/v1/sessions", json=hello, headers={"Idempotency-Key": once})
    except BaseException:
        await http.aclose()
        raise
    after = hello["resume"]["after"] if welcome["resumed"] else f"{welcome['epoch']}.1"
    return kind(http, welcome, after)


async def _ask(http: httpx.AsyncClient, method: str, path: str, **rest: Any) -> Json:
    try:
        reply = await http.request(method, path, **rest)
    except httpx.HTTPError as error:
        raise ClosedError(FAILED, str(error) or type(error).__name__) from None
    if reply.is_success:
        body: Json = read_json(reply.content)
        return body
    raise _refused(reply)


def _refused(reply: httpx.Response) -> ClosedError:
    """What a reply that is no good means for the connection."""
    try:
        problem = reply.json()
    except ValueError:
        problem = {}
    return ClosedError(close_code(reply.status_code, problem.get("code")), problem.get("detail", reply.reason_phrase))


def close_code(status: int, code: str | None = None) -> int:
    """What a WebSocket would have been closed with."""
    if code == "token_expired":
        return 4106
    if status in (410, 429) or status >= 500:
        return 4103
    return _CLOSE_CODES.get(status, FAILED)


OPENERS: dict[str, Opener] = {"websocket": open_websocket, "sse": open_stream, "poll": open_polls}
