"""One session that survives its connections: it resumes where it was, over whichever transport works, and sends again
what got no reply, under the same id, so that it takes effect once.
"""

import asyncio
import contextlib
import itertools
import json
import math
import random
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from fairlead_client.backoff import SETTLED, is_final, pause
from fairlead_client.entrances import Entrances
from fairlead_client.frames import Frame, Json, SignalingError
from fairlead_client.transports import OPENERS, ClosedError, Line, Opener

Token = str | Callable[[], Awaitable[str]]
#: seconds without any frame; the server pings every 25
_WATCHDOG = 40.0
#: seconds from a connection to its welcome
_GREETING = 10.0
#: frames that the server is asked to answer at once, and those that wait for that as well
_UNDER_WAY, _KEPT = 64, 1024
#: bytes that an ack adds to a frame, at most
_ACK = 32
#: frames of the server without one of ours
_ACK_EVERY = 64
#: what a server closes with that hears nothing
_SILENT = 4105
_CLIENT = {"name": "fairlead-client-python", "version": "0.1.0"}


@dataclass(slots=True)
class _Waiting:
    """A frame without a reply; `is_sent` over the connection that there is, `size` in bytes as it is written."""

    frame: Json
    size: int
    reply: asyncio.Future[Frame]
    is_sent: bool = False


class Session:
    """`async with Session(server, token) as session`; the callbacks may be set before that. Raises ValueError for what
    is no address of a server.

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
        home = server.rstrip("/")
        if not re.match("(http|ws)s?://.", server):
            raise ValueError(f"{server!r} is no address of a server; write https://HOST, or http://HOST:PORT")
        self._entrances = Entrances(home.replace("ws", "http", 1) if home.startswith("ws") else home)
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
        self._waiting: dict[str, _Waiting] = {}
        self._held: asyncio.TimerHandle | None = None
        self._sending: set[asyncio.Task[None]] = set()
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
        """Sends a frame and returns its reply, also when the connection breaks in between; raises SignalingError, and
        TypeError or ValueError for data that is no JSON."""
        if self._end is not None:
            raise self._end
        if len(self._waiting) >= _KEPT:
            raise SignalingError("too_many_waiting", f"{_KEPT} frames wait for their reply already")
        fields = {"type": kind, "id": f"c{next(self._ids)}", "room": room, "to": to, "data": data}
        frame = {name: value for name, value in fields.items() if value is not None}
        reply: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._waiting[frame["id"]] = _Waiting(frame, len(json.dumps(frame, allow_nan=False)), reply)
        try:
            with contextlib.suppress(ClosedError):  # The reader sees it as well, and it is sent again.
                await self._send()
            return await reply
        finally:
            self._waiting.pop(frame["id"], None)

    async def renew(self, token: str) -> None:
        """Replaces the token within the session, before the old one ends."""
        await self.request("token", data={"token": token})
        if isinstance(self._token, str):
            self._token = token

    def abandon(self, room: str) -> None:
        """What belonged to a room that is gone gets no reply any more."""
        for one in list(self._waiting.values()):
            if one.frame.get("room") == room and one.frame["type"] != "join" and not one.reply.done():
                one.reply.set_exception(SignalingError("session_expired", "the session that this was sent in is gone"))

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
                code, reason = _SILENT, "the server said nothing for too long"
            except Exception as error:
                self._finish(SignalingError("internal", f"a fault of this client: {error!r}"))
                raise
            if is_final(code):
                self._finish(SignalingError(str(code), reason))
                return
            if not self._stands:
                self._entrances.next()
            if not self._stands and (code < 4000 or code == _SILENT):
                self._try_another()
            await asyncio.sleep(pause(self._attempts, code, self._drained, self._dice))
            self._drained = None
            self._attempts += 1

    async def _connect(self) -> NoReturn:
        """One connection, to its end."""
        name = self._order[0]
        hello = await self._hello()
        line = await self._openers[name](self._entrances.current, hello, self._once(hello))
        since = time.monotonic()
        try:
            while True:
                async with asyncio.timeout(_WATCHDOG if self._stands else _GREETING):
                    frame = Frame.read(await line.receive())
                if frame.type == "welcome":
                    self._line, self._stands = line, True
                await self._take(name, frame)
                if time.monotonic() - since > SETTLED:
                    self._attempts = 0
        finally:
            self._line = None
            for one in self._waiting.values():
                one.is_sent = False
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
        if self._held is not None:
            self._held.cancel()
        for one in self._waiting.values():
            if not one.reply.done():
                one.reply.set_exception(end)
        self.on_end(end)

    # Frames

    async def _send(self) -> None:
        """The oldest of what waits is under way, in its order; the rest follows as replies come."""
        if self._line is None or self._held is not None:
            return
        fitting = (one for one in self._waiting.values() if not one.reply.done() and not self._is_too_large(one))
        unsent = [one for one in itertools.islice(fitting, _UNDER_WAY) if not one.is_sent]
        for one in unsent:
            one.is_sent = True
        if unsent:
            await self._put([one.frame for one in unsent])

    def _is_too_large(self, one: _Waiting) -> bool:
        """A server hangs up on a frame that is, for good: it is refused here."""
        most = ((self._known or {}).get("limits") or {}).get("frame_bytes", math.inf)
        if one.size + _ACK <= most:
            return False
        wrong = f"a frame holds at most {most - _ACK} bytes, and this one has {one.size}"
        one.reply.set_exception(SignalingError("frame_too_large", wrong))
        return True

    def _hold(self, seconds: float) -> None:
        """Too fast for the server: nothing is sent for so long."""
        if self._held is not None:
            self._held.cancel()
        self._held = asyncio.get_running_loop().call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._held = None
        task = asyncio.create_task(self._send_on())
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send_on(self) -> None:
        with contextlib.suppress(ClosedError):  # The reader sees it as well.
            await self._send()

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
                self._entrances.leave(frame.data.get("alternatives"), self._dice)
            if frame.re is None or frame.type == "joined":
                self.on_frame(frame)
            if frame.re is not None or frame.type == "joined":
                (self._settle if frame.re is not None else self._settle_joins)(frame)
                await self._send()
        if self._seq - self._acked >= _ACK_EVERY:
            await self._put([{"type": "pong"}])

    async def _welcome(self, name: str, welcome: Json) -> None:
        before, self._known, self._asked = self._known, welcome, None
        if before is None or before["epoch"] != welcome["epoch"]:
            self._acked = 0
        self._worked.add(name)
        if before is not None and before["sid"] != welcome["sid"]:
            self.on_lost()
        if self._first is not None and not self._first.done():
            self._first.set_result(None)
        await self._send()

    def _settle_joins(self, joined: Frame) -> None:
        """The room is shown anew, since the log is gone, and with it the reply to a join that was under way."""
        for one in self._waiting.values():
            if one.frame["type"] == "join" and one.frame.get("room") == joined.room and not one.reply.done():
                one.reply.set_result(joined)

    def _settle(self, frame: Frame) -> None:
        """A frame that was too fast waits, but for wrong passwords, which no repetition makes right."""
        one = self._waiting.get(frame.re or "")
        if one is None or one.reply.done():
            return
        if frame.type != "error":
            one.reply.set_result(frame)
            return
        wait = frame.data.get("retry_after_ms")
        after = wait / 1000 if wait is not None else None
        is_guess = (frame.data.get("details") or {}).get("limit") == "passwords"
        if frame.data["code"] == "rate_limited" and after is not None and not is_guess:
            one.is_sent = False
            self._hold(after)
        else:
            one.reply.set_exception(SignalingError(frame.data["code"], frame.data["message"], after))
