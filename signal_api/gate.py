"""The first thing that every request meets: whether it was meant for us, where it comes from, and how big it is."""

import asyncio
import contextlib

from fairlead.sources import source_prefix
from signal_api.clients import VISITOR, Visitor
from signal_api.metrics import PEERJS_ROUTE, route_label
from signal_api.node.hub import Hub
from signal_api.origins import Approach, is_foreign, is_local
from signal_api.protocol.refusals import ErrorCode, Refusal
from signal_api.transports.peerjs import PeerJsTransport
from signal_api.transports.peerjs_http import is_request, is_socket
from signal_api.transports.websocket import WebSocketTransport
from signal_api.web.asgi import AT_ONCE, VERDICT, App, Message, Receive, Scope, Send, approach_of, send_problem
from signal_api.web.headers import PREFLIGHT, cross_origin_headers, is_preflight, security_headers, with_headers
from signal_api.web.problems import RefusedError

WEBSOCKET_PATH = "/v1/ws"
#: everything below is for programs, everything else is the page
API_PREFIX = "/v1/"
SESSIONS_PATH = "/v1/sessions"
#: bytes of a request's body
MAX_BODY = 65536
#: seconds for a refused WebSocket to take its answer
_REFUSED_LINGER = 5.0

_UNNAMED_HOST = Refusal(
    ErrorCode.HOST_NOT_ALLOWED,
    "this service is not known under the name in Host; its operator can add it to signal_api.hosts",
)
_FOREIGN = Refusal(
    ErrorCode.ORIGIN_NOT_ALLOWED,
    "Origin is neither this service's own (a program sends http://HOST:PORT of the address it dials; behind a proxy, "
    "signal_api.trusted_proxies names it) nor in signal_api.origins",
)
_NO_SOCKET = Refusal(ErrorCode.NOT_FOUND, "there is no WebSocket here")


class Gate:
    """An ASGI app in front of the transports and of everything else."""

    def __init__(
        self, hub: Hub, websocket: WebSocketTransport, peerjs: PeerJsTransport, sessions: App, app: App
    ) -> None:
        self._hub = hub
        self._websocket = websocket
        self._peerjs = peerjs
        self._sessions = sessions
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._serve_websocket(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve_http(scope, receive, send)

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.get("state", {})
        visitor: Visitor | Refusal = state.pop(VERDICT, None) or self._may_upgrade(scope)
        if AT_ONCE in scope.get("extensions", {}) and (isinstance(visitor, Refusal) or scope["path"] != WEBSOCKET_PATH):
            state[VERDICT] = visitor
            return
        if isinstance(visitor, Visitor):
            transport = self._websocket if scope["path"] == WEBSOCKET_PATH else self._peerjs
            await transport.serve(scope, receive, send, visitor)
            return
        await receive()
        await self._refuse(scope, send, visitor)
        await _until_gone(receive)

    def _may_upgrade(self, scope: Scope) -> Visitor | Refusal:
        approach = approach_of(scope)
        visitor = self._visitor(approach)
        if isinstance(visitor, Refusal):
            return visitor
        if scope["path"] != WEBSOCKET_PATH and not is_socket(self._hub.policy, scope["path"]):
            return _NO_SOCKET
        if not self._hub.policy.entrance.welcomes(approach):
            self._hub.instruments.origins_refused["origin",] += 1
            return _FOREIGN
        if self._hub.draining:
            return Refusal(ErrorCode.DRAINING, "this server is about to stop", retry_after=1.0)
        wait = self._hub.may_connect(visitor.source)
        if wait:
            self._hub.instruments.rate_limited["connects",] += 1
            return Refusal(ErrorCode.RATE_LIMITED, "too many connections from your address", wait)
        return visitor

    async def _serve_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        approach = approach_of(scope)
        visitor = self._visitor(approach)
        foreign = is_foreign(self._hub.policy.entrance, approach)
        headers = [
            *security_headers(approach, isinstance(visitor, Visitor)),
            *cross_origin_headers(approach, isinstance(visitor, Visitor) and not foreign),
        ]
        send = self._counting(scope["path"], with_headers(send, headers))
        if isinstance(visitor, Refusal):
            await self._refuse(scope, send, visitor)
        elif foreign and (scope["path"].startswith(API_PREFIX) or is_request(self._hub.policy, scope["path"])):
            self._hub.instruments.origins_refused["origin",] += 1
            await self._refuse(scope, send, _FOREIGN)
        elif is_preflight(scope["method"], approach):
            await send({"type": "http.response.start", "status": 204, "headers": PREFLIGHT})
            await send({"type": "http.response.body"})
        elif _declared_length(approach) > self._largest_body(scope["path"]):
            await self._refuse(scope, send, _too_large(self._largest_body(scope["path"])))
        else:
            scope[VISITOR] = visitor
            await self._app_at(scope["path"])(scope, _bounded(receive, self._largest_body(scope["path"])), send)

    def _app_at(self, path: str) -> App:
        if path.startswith(SESSIONS_PATH):
            return self._sessions
        return self._peerjs.requests if is_request(self._hub.policy, path) else self._app

    def _largest_body(self, path: str) -> int:
        """A frame of the largest size has to fit with what is around it."""
        return MAX_BODY if not path.startswith(SESSIONS_PATH) else MAX_BODY + self._hub.policy.limits.frame_bytes

    def _counting(self, path: str, send: Send) -> Send:
        counts = self._hub.instruments.http_requests
        route = PEERJS_ROUTE if is_request(self._hub.policy, path) else route_label(path)

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                counts[route, f"{message['status'] // 100}xx"] += 1
            await send(message)

        return counting

    def _visitor(self, approach: Approach) -> Visitor | Refusal:
        host = self._hub.policy.entrance.host_of(approach)
        if host is None:
            self._hub.instruments.origins_refused["host",] += 1
            return _UNNAMED_HOST
        return Visitor(_source_of(approach.client), host, is_local(approach))

    async def _refuse(self, scope: Scope, send: Send, refusal: Refusal) -> None:
        self._hub.instruments.errors[refusal.code.value,] += 1
        await send_problem(scope, send, refusal)


def _source_of(client: str) -> bytes:
    """Whom a request is counted for. Where a proxy writes no address, such as `unknown`, all are one."""
    try:
        return source_prefix(client)
    except (OSError, ValueError):
        return b""


async def _until_gone(receive: Receive) -> None:
    """Waits for a connection that was refused to end: uvicorn takes an app that returns earlier for a broken one. It
    announces the end twice, when the reply is written and when the connection is gone."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_REFUSED_LINGER):
            for _ in range(2):
                await receive()


def _too_large(largest: int) -> Refusal:
    return Refusal(ErrorCode.FRAME_TOO_LARGE, f"a request's body holds at most {largest} bytes")


def _declared_length(approach: Approach) -> int:
    length = approach.headers.get("content-length", "0")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 16 else 1 << 62


def _bounded(receive: Receive, largest: int) -> Receive:
    """Counts a body that did not declare its length."""
    total = 0

    async def bounded() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > largest:
            raise RefusedError(_too_large(largest))
        return message

    return bounded
