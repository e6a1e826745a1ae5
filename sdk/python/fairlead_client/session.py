"""One session that survives its connections: it resumes where it was, over whichever transport works, and sends again
what got no reply, under the same id, so that it takes effect once.
"""

import asyncio
import contextlib
import itertools
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NoReturn

from fairlead_client.backoff import SETTLED, is_final, pause
from fairlead_client.frames import Frame, Json, SignalingError
from fairlead_client.transports import OPENERS, ClosedError, Line, Opener

Token = str | Callable[[], Awaitable[str]]
#: seconds without any frame; the server pings every 25
_WATCHDOG = 40.0
#: frames that wait for their reply
_KEPT = 64
#: frames of the server without one of ours
_ACK_EVERY = 64
_CLIENT = {"name": "fairlead-client-python", "version": "0.1.0"}


class Session:
    """`async with Session(server, token) as session`; the callbacks may be set before that.

    `on_frame` takes every frame that is no welcome, ping or plain reply, also of unknown types. `on_lost` is called
    when the server has forgotten the session and it goes on as another, whose rooms have to be joined again; `on_end`
    when it is over for good.
    """

    def __init__(
        self,
        server: str,
        token: Token | None = None,
        transports: Sequence[str] = ("websocket", "sse", "poll"),
        openers: Mapping[str, Opener] = OPENERS,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.on_frame: Callable[[Frame], None] = lambda _: None
        self.on_lost: Callable[[], None] = lambda: None
        self.on_end: Callable[[SignalingError], None] = lambda _: None
        self._base = server.rstrip("/").replace("ws", "http", 1) if server.startswith("ws") else server.rstrip("/")
        self._token = token
        self._order = list(transports)
        self._openers = openers
        self._dice = dice
        self._line: Line | None = None
        self._known: Json | None = None
        #: what is asked for until it is answered, and the name of that
        self._asked: tuple[Json, str] | None = None
        self._seq = self._acked = self._attempts = 0
        self._worked: set[str] = set()
        self._stands = False
        self._drained: float | None = None
        self._ids = itertools.count(1)
        self._waiting: dict[str, tuple[Json, asyncio.Future[Frame]]] = {}
        self._end: SignalingError | None = None
        self._first: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def sid(self) -> str | None:
        """The id of the session, once there is one."""
        return self._known["sid"] if self._known is not None else None

    async def __aenter__(self) -> "Session":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Returns when the session stands; raises SignalingError when coming back would not help."""
        self._first = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run())
        await self._first

    async def request(self, kind: str, *, room: str | None = None, to: Any = None, data: Any = None) -> Frame:
        """Sends a frame and returns its reply, also when the connection breaks in between; raises SignalingError."""
        if self._end is not None:
            raise self._end
        if len(self._waiting) >= _KEPT:
            raise SignalingError("too_many_waiting", f"{_KEPT} frames wait for a connection already")
        fields = {"type": kind, "id": f"c{next(self._ids)}", "room": room, "to": to, "data": data}
        frame = {name: value for name, value in fields.items() if value is not None}
        reply: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._waiting[frame["id"]] = (frame, reply)
        try:
            if self._line is not None:
                with contextlib.suppress(ClosedError):  # The reader sees it as well, and it is sent again.
                    await self._put([frame])
            return await reply
        finally:
            self._waiting.pop(frame["id"], None)

    async def renew(self, token: str) -> None:
        """Replaces the token within the session, before the old one ends."""
        await self.request("token", data={"token": token})

    def abandon(self, room: str) -> None:
        """What belonged to a room that is gone gets no reply any more."""
        for frame, reply in list(self._waiting.values()):
            if frame.get("room") == room and frame["type"] != "join" and not reply.done():
                reply.set_exception(SignalingError("session_expired", "the session that this was sent in is gone"))

    async def close(self) -> None:
        """Ends the session for good."""
        self._finish(SignalingError("closed", "the session was closed by the application"))
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # The connection

    async def _run(self) -> None:
        while self._end is None:
            self._stands = False
            try:
                await self._connect()
            except ClosedError as closed:
                code, reason = closed.code, closed.reason
            except TimeoutError:
                code, reason = 4105, "the server said nothing for too long"
            if is_final(code):
                self._finish(SignalingError(str(code), reason))
                return
            if not self._stands and code < 4000:
                self._try_another()
            await asyncio.sleep(pause(self._attempts, code, self._drained, self._dice))
            self._drained = None
            self._attempts += 1

    async def _connect(self) -> NoReturn:
        """One connection, to its end."""
        name = self._order[0]
        hello = await self._hello()
        line = await self._openers[name](self._base, hello, self._once(hello))
        since = time.monotonic()
        try:
            while True:
                async with asyncio.timeout(_WATCHDOG):
                    frame = Frame.read(await line.receive())
                if frame.type == "welcome":
                    self._line, self._stands = line, True
                await self._take(name, frame)
                if time.monotonic() - since > SETTLED:
                    self._attempts = 0
        finally:
            self._line = None
            await line.close(leave=self._end is not None)

    def _try_another(self) -> None:
        """A way that never worked, such as a WebSocket behind a proxy that knows none, is tried last from now on; one
        that did work may try again a few times, since it may be the server that is away."""
        if self._order[0] not in self._worked or self._attempts % 4 == 3:
            self._order.append(self._order.pop(0))

    def _once(self, hello: Json) -> str:
        """One name for as long as the same is asked for: nobody else can guess it, since it is answered with a key."""
        if self._asked is None or self._asked[0] != hello:
            self._asked = hello, secrets.token_urlsafe(18)
        return self._asked[1]

    async def _hello(self) -> Json:
        hello: Json = {"v": 1, "client": _CLIENT}
        if self._token is not None:
            hello["token"] = await self._fresh_token(self._token)
        if self._known is not None:
            after = f"{self._known['epoch']}.{self._seq}"
            hello["resume"] = {"sid": self._known["sid"], "key": self._known["key"], "after": after}
        return hello

    async def _fresh_token(self, token: Token) -> str:
        if isinstance(token, str):
            return token
        try:
            return await token()
        except Exception as error:  # Whatever the application's own source of tokens raises: it may have one later.
            raise ClosedError(4100, f"no token: {error}") from error

    def _finish(self, end: SignalingError) -> None:
        if self._end is not None:
            return
        self._end = end
        if self._first is not None and not self._first.done():
            self._first.set_exception(end)
        for _, reply in self._waiting.values():
            if not reply.done():
                reply.set_exception(end)
        self.on_end(end)

    # Frames

    async def _put(self, frames: list[Json]) -> None:
        self._acked = self._seq
        if self._line is not None:
            await self._line.send([frame | {"ack": self._seq} for frame in frames])

    async def _take(self, name: str, frame: Frame) -> None:
        if frame.seq is not None:
            if frame.type != "welcome" and frame.seq <= self._seq:
                return
            self._seq = frame.seq
        if frame.type == "ping":
            await self._put([{"type": "pong"}])
        elif frame.type == "welcome":
            await self._welcome(name, frame.data)
        else:
            if frame.type == "drain":
                self._drained = frame.data["retry_ms"] / 1000
            if frame.re is None or frame.type == "joined":
                self.on_frame(frame)
            if frame.re is not None:
                self._settle(frame)
        if self._seq - self._acked >= _ACK_EVERY:
            await self._put([{"type": "pong"}])

    async def _welcome(self, name: str, welcome: Json) -> None:
        before, self._known, self._asked = self._known, welcome, None
        if before is None or before["epoch"] != welcome["epoch"]:
            self._acked = 0
        self._worked.add(name)
        unanswered = [frame["id"] for frame, _ in self._waiting.values()]
        if before is not None and before["sid"] != welcome["sid"]:
            self.on_lost()
        if self._first is not None and not self._first.done():
            self._first.set_result(None)
        again = [self._waiting[one] for one in unanswered if one in self._waiting]
        frames = [frame for frame, reply in again if not reply.done()]
        if frames:
            await self._put(frames)

    def _settle(self, frame: Frame) -> None:
        _, reply = self._waiting.get(frame.re or "", (None, None))
        if reply is None or reply.done():
            return
        if frame.type != "error":
            reply.set_result(frame)
        else:
            wait = frame.data.get("retry_after_ms")
            after = wait / 1000 if wait is not None else None
            reply.set_exception(SignalingError(frame.data["code"], frame.data["message"], after))
