"""The ops port: /healthz, /readyz, /metrics. Loopback unless configured otherwise, never the public port."""

import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from fairlead.metrics import Metrics

_Scope: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Readiness(NamedTuple):
    """Why a daemon should be given no new work; ready when there is no reason. `about` is said beside the verdict."""

    reasons: Sequence[str]
    draining: bool = False
    about: Mapping[str, str | int] = {}


class Answer(NamedTuple):
    status: int
    content_type: str
    body: bytes


class OpsApp:
    """An ASGI app of three pages. That it answers at all is the sign of life: it runs in the daemon's loop."""

    def __init__(
        self, name: str, version: str, metrics: Metrics, readiness: Callable[[], Awaitable[Readiness]]
    ) -> None:
        self._name = name
        self._version = version
        self._metrics = metrics
        self._readiness = readiness

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        answer = await self._answer(scope["method"], scope["path"], headers.get(b"accept", b"").decode("latin-1"))
        fields = [
            (b"content-type", answer.content_type.encode()),
            (b"content-length", str(len(answer.body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": answer.status, "headers": fields})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else answer.body})

    async def _answer(self, method: str, path: str, accept: str) -> Answer:
        if method not in ("GET", "HEAD"):
            return _json(405, {"error": "only GET is answered here"})
        if path == "/healthz":
            return _json(200, {"alive": True, "daemon": self._name, "version": self._version})
        if path == "/readyz":
            ready = await self._readiness()
            status = 503 if ready.reasons else 200
            body = {"ready": not ready.reasons, "draining": ready.draining, "reasons": list(ready.reasons)}
            return _json(status, {**body, **ready.about})
        if path == "/metrics":
            content_type, exposition = self._metrics.expose(accept)
            return Answer(200, content_type, exposition)
        return _json(404, {"error": "the pages here are /healthz, /readyz and /metrics"})


def _json(status: int, body: dict[str, Any]) -> Answer:
    return Answer(status, "application/json", json.dumps(body).encode() + b"\n")
