"""Connections that have asked for nothing yet: how many there may be, and how long a request may take to be whole.

uvicorn counts nobody before the head of a request is there, and waits for the rest of a head or of a body as long as
it takes. Here each has its time, and a source its number of connections, so that who holds many open and says little
holds a few and not for long; and what many ask for together is read a few at a time (signal_api.turnstile). A WebSocket
leaves when it is handed on: from there hello and pings have their own times.
"""

import enum
import ipaddress
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any, Protocol

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from fairlead.sources import source_prefix
from signal_api.node.hub import Hub
from signal_api.protocol.refusals import ErrorCode, Refusal
from signal_api.timers import Timer
from signal_api.web.problems import problem_reply

#: bytes of a request's line and headers together; a token has 8192 at most
MAX_HEAD = 16384
#: connections beside the sessions: requests, and sockets that have not said hello
_BESIDE = 4096
#: files that are no connections: listeners, logs, the store, what is being read
_OTHER_FILES = 256

_MALFORMED = Refusal(
    ErrorCode.BAD_REQUEST, f"this is no request of HTTP/1.1, or its line and headers are more than {MAX_HEAD} bytes"
)
_FULL = Refusal(ErrorCode.OVER_CAPACITY, "this server has as many connections as it may", 1.0)
_BUSY = Refusal(ErrorCode.OVER_CAPACITY, "too many came at once, and your turn did not come in time", 1.0)
_CROWD = Refusal(ErrorCode.RATE_LIMITED, "too many open connections from your address", 1.0)


class Awaited(enum.StrEnum):
    """What a connection owes us, by the name of its time in the configuration."""

    HEAD = "head_timeout"
    BODY = "body_timeout"


class Refusable(Protocol):
    """A connection that can be told why it ends; whether it waits for its turn."""

    is_waiting: bool

    def refuse(self, refusal: Refusal) -> None: ...


class Doorstep:
    """What the connections of one listener share. `proxies` are networks whose addresses stand for many clients, and
    are not counted as sources; `files` is how many the process may open."""

    def __init__(self, hub: Hub, files: float, proxies: Iterable[str] = ()) -> None:
        self.hub = hub
        self._files = files
        self._proxies = tuple(ipaddress.ip_network(text) for text in proxies)
        self._open: Counter[bytes] = Counter()
        self._owed = dict.fromkeys(Awaited, 0)

    def __len__(self) -> int:
        """Sources that have a connection here."""
        return len(self._open)

    def unfinished(self) -> dict[tuple[str, ...], float]:
        """For a gauge: connections by what of a request is missing."""
        return {(awaited.name.lower(),): count for awaited, count in self._owed.items()}

    def source_of(self, host: str) -> bytes | None:
        """Whom a connection is counted for; None for a proxy's."""
        if self._proxies:
            address = ipaddress.ip_address(host.partition("%")[0])
            if any(address in network for network in self._proxies):
                return None
        return source_prefix(host)

    def judge(self, source: bytes | None, total: int) -> Refusal | None:
        """Whether one more may stay, of this source and among so many in all, WebSockets included."""
        if total > min(self.hub.policy.limits.sessions + _BESIDE, self._files - _OTHER_FILES):
            return self.full()
        if source is not None and self._open[source] > self.hub.policy.limits.connections_per_source:
            self.count("per_source")
            return _CROWD
        return None

    def enter(self, source: bytes | None) -> None:
        if source is not None:
            self._open[source] += 1

    def leave(self, source: bytes | None) -> None:
        if source is not None:
            self._open[source] -= 1
            if not self._open[source]:
                del self._open[source]

    def wait_for(self, awaited: Awaited, connection: Refusable, cycle: object = None) -> "Wait":
        """Gives a connection its time, in which request it may be; `received` ends the wait."""
        self._owed[awaited] += 1
        times = self.hub.policy.times
        seconds = times.head_timeout if awaited is Awaited.HEAD else times.body_timeout
        wait = Wait(awaited, connection, cycle)
        wait.timer = self.hub.timers.after(seconds, partial(self._give_up, wait, seconds))
        return wait

    def received(self, wait: "Wait") -> None:
        self._owed[wait.awaited] -= 1
        wait.timer.cancel()

    def _give_up(self, wait: "Wait", seconds: float) -> None:
        if wait.connection.is_waiting:
            self.count("capacity")
            wait.connection.refuse(_BUSY)
            return
        name = wait.awaited.value
        self.count(name)
        late = Refusal(ErrorCode.REQUEST_TIMEOUT, f"the request was not here after {seconds:g} s ({name})")
        wait.connection.refuse(late)

    def full(self) -> Refusal:
        """There is no room for one more, or for what it has said."""
        self.count("capacity")
        return _FULL

    def count(self, reason: str) -> None:
        self.hub.instruments.turned_away[reason,] += 1


class Wait:
    """For what, of whom, in which request, and until when."""

    __slots__ = ("awaited", "connection", "cycle", "timer")
    timer: Timer

    def __init__(self, awaited: Awaited, connection: Refusable, cycle: object) -> None:
        self.awaited = awaited
        self.connection = connection
        self.cycle = cycle


class _Parser(h11.Connection):
    """Takes no request that another server on the way may have understood otherwise (RFC 9112 section 11.2), and none
    with a head that is too long, also where it came in one piece."""

    #: whether the answer to the last request has no body
    is_head = False

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self.is_head = event.method == b"HEAD"
            if _size(event) > MAX_HEAD or not _is_clear(event):
                raise h11.RemoteProtocolError("this request is refused")
        return event


def _size(head: h11.Request) -> int:
    """About as many bytes as it had: names, values, and what stands between them."""
    return len(head.target) + sum(len(name) + len(value) + 4 for name, value in head.headers)


def _is_clear(head: h11.Request) -> bool:
    framing = [name for name, _ in head.headers if name in (b"content-length", b"transfer-encoding")]
    return len(framing) <= 1 and head.http_version in (b"1.0", b"1.1")


class Connection(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, for who comes to the point. It goes on with what has come to the doorstep before:
    a source that was counted, and the wait for its first head."""

    def __init__(self, doorstep: Doorstep, source: bytes | None, wait: Wait | None, **given: Any) -> None:
        super().__init__(**given)
        self.conn: _Parser = _Parser(h11.SERVER, MAX_HEAD)
        self._doorstep = doorstep
        self._source = source
        self._is_here = True
        #: whether what it said waits for its turn: if anything is late then, it is we
        self.is_waiting = False
        self._is_held = False  # and not read meanwhile
        self._wait = wait
        if wait is not None:
            wait.connection = self

    def read(self, parcel: bytes) -> None:
        """What has come before, and whose turn it is."""
        self.conn.receive_data(parcel)
        super().handle_events()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._depart()

    def data_received(self, data: bytes) -> None:
        self.conn.receive_data(data)
        self.handle_events()

    def handle_events(self) -> None:
        """Reads what has come when it is its turn: one request at a time, also where several came together."""
        unread = self.conn.trailing_data[0]
        if not unread:
            super().handle_events()
        elif not self.is_waiting:
            self.is_waiting = True
            self._unset_keepalive_if_required()
            who = self if self._source is None else self._source
            if not self._doorstep.hub.turnstile.enter(who, self._read_on, len(unread)):
                self.refuse(self._doorstep.full())
            elif self.is_waiting:
                self._is_held = True
                self.transport.pause_reading()

    def _read_on(self) -> None:
        self.is_waiting = False
        if self.transport.is_closing():
            return
        if self._is_held:
            self._is_held = False
            self.transport.resume_reading()
        super().handle_events()
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        super().handle_websocket_upgrade(event)
        self._depart()

    def send_400_response(self, msg: str) -> None:
        self._doorstep.count("malformed")
        self.refuse(_MALFORMED)

    def refuse(self, refusal: Refusal) -> None:
        """Answers, unless an answer has begun already, and hangs up."""
        if not self.transport.is_closing() and self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            reply = problem_reply(refusal)
            length = str(len(reply.body))
            headers = [*reply.headers.items(), ("content-length", length), ("connection", "close")]
            head = h11.Response(status_code=reply.status, headers=headers, reason=refusal.code.status.phrase.encode())
            body = b"" if self.conn.is_head else reply.body
            for part in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(part) or b"")
        if self.cycle is not None:
            self.cycle.disconnected = True  # What the app may say yet has nowhere to go.
        self.transport.close()

    def _watch(self) -> None:
        """Gives what has become due its time, and takes back the time of what has come."""
        missing, wait = self._missing(), self._wait
        if wait is not None and (wait.awaited is not missing or wait.cycle is not self.cycle):
            self._doorstep.received(wait)
            wait = None
        if wait is None and missing is not None:
            wait = self._doorstep.wait_for(missing, self, self.cycle)
        self._wait = wait

    def _missing(self) -> Awaited | None:
        """Between two requests there is uvicorn's own time, until the first byte of the next."""
        if not self._is_here or self.transport.is_closing():
            return None
        state = self.conn.their_state
        if state is h11.SEND_BODY:
            return Awaited.BODY
        return Awaited.HEAD if state is h11.IDLE and self.timeout_keep_alive_task is None else None

    def _depart(self) -> None:
        if self._is_here:
            self._is_here = False
            self._doorstep.leave(self._source)
            self._watch()
