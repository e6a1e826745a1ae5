"""The whole HTTP and WebSocket face, as one ASGI app."""

import functools
import re
from pathlib import Path
from typing import Any

import msgspec
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles

from fairlead import __version__
from fairlead.clock import Entropy
from signal_api.admin.routes import admin_router
from signal_api.engine.contract import Engine
from signal_api.gate import Gate
from signal_api.metrics import Instruments
from signal_api.node.dispatch import Dispatch
from signal_api.node.hub import Hub
from signal_api.node.registry import Registry
from signal_api.node.relaying import Relaying
from signal_api.openapi import with_sessions
from signal_api.policy import Policy
from signal_api.protocol.refusals import ErrorCode, Refusal
from signal_api.rest import PROBLEMS, Rest, document_of_frames
from signal_api.timers import Clock
from signal_api.transports.http import HttpTransport
from signal_api.transports.peerjs import PeerJsTransport
from signal_api.transports.websocket import WebSocketTransport
from signal_api.web.asgi import Receive, Scope, Send
from signal_api.web.problems import RefusedError, problem_reply

PAGES = Path(__file__).parent / "static"

_CODES = {
    403: ErrorCode.NOT_FOUND,  # What may not be seen looks like what is not there.
    404: ErrorCode.NOT_FOUND,
    405: ErrorCode.METHOD_NOT_ALLOWED,
}
_ABSENT = "there is nothing here"
_PARAMETER = re.compile(r"\{[a-z]+\}")
_METHODS = frozenset({"get", "post", "put", "patch", "delete"})


class App:
    """An ASGI app; `hub` is all of its state."""

    def __init__(self, hub: Hub, gate: Gate, rest: FastAPI) -> None:
        self.hub = hub
        self._gate = gate
        self._rest = rest

    async def prepare(self) -> None:
        """Makes the descriptions of the API, which takes a tenth of a second and which any stranger may ask for: a 405
        does. Nobody else should wait for that, nor for what the framework loads for its first thread."""
        await run_in_threadpool(self._rest.state.document)
        document_of_frames()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._gate(scope, receive, send)


def create_app(policy: Policy, clock: Clock, entropy: Entropy, engine: Engine, instruments: Instruments) -> App:
    """The app on a clock, dice and a store that are handed in; nothing else in it knows the machine."""
    hub = Hub(policy, clock, entropy, instruments)
    instruments.watch(hub.roster, engine.census)
    dispatch = Dispatch(hub, engine)
    sessions = HttpTransport(hub, dispatch)
    peerjs = PeerJsTransport(hub, dispatch, Registry(hub, engine))
    admin = admin_router(hub, engine, dispatch.verbs.steward, PROBLEMS)
    rest = _rest_app(hub, engine, admin)
    return App(hub, Gate(hub, WebSocketTransport(hub, dispatch), peerjs, sessions, rest), rest)


def _allowed(app: FastAPI, path: str) -> str | None:
    """What a path takes (RFC 9110 section 10.2.1). The framework would name the methods of one of its routes alone."""
    for template, described in app.openapi()["paths"].items():
        if re.fullmatch(_PARAMETER.sub("[^/]+", template), path):
            return ", ".join(method.upper() for method in described if method in _METHODS)
    return "GET, HEAD"  # a page


def _rest_app(hub: Hub, engine: Engine, admin: APIRouter) -> FastAPI:
    title, about = "Fairlead signal_api", "ICE servers for WebRTC; the signaling protocol sig.v1 is at /v1/ws."
    app = FastAPI(
        title=title,
        summary=about,
        version=__version__,
        openapi_url=None,  # below, as bytes
        docs_url=None,
        redoc_url=None,
    )

    def respond(refusal: Refusal, allow: str | None = None) -> Response:
        hub.instruments.errors[refusal.code.value,] += 1
        reply = problem_reply(refusal, allow)
        return Response(reply.body, reply.status, reply.headers)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if isinstance(error, RefusedError):
            return respond(error.refusal)
        code = _CODES.get(error.status_code, ErrorCode.BAD_REQUEST)
        refusal = Refusal(code, _ABSENT if code is ErrorCode.NOT_FOUND else error.detail)
        return respond(refusal, _allowed(app, request.url.path) if code is ErrorCode.METHOD_NOT_ALLOWED else None)

    async def not_understood(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        return respond(Refusal(ErrorCode.BAD_REQUEST, wrong))

    async def failed(request: Request, error: Exception) -> Response:
        return respond(Refusal(ErrorCode.INTERNAL, "this failed, and its log says why"))

    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, not_understood)
    app.add_exception_handler(Exception, failed)
    app.include_router(Rest(hub, Relaying(hub, engine)).router)
    app.include_router(admin)
    described = app.openapi

    def openapi() -> dict[str, Any]:
        return app.openapi_schema if app.openapi_schema is not None else with_sessions(described())

    async def description() -> Response:
        return Response(app.state.document(), media_type="application/json")

    app.openapi = openapi  # type: ignore[method-assign]  # the framework's own way to add to it
    app.state.document = functools.cache(lambda: msgspec.json.encode(app.openapi()))
    app.add_api_route("/v1/openapi.json", description, methods=["GET"], include_in_schema=False)
    app.mount("/", StaticFiles(directory=PAGES, html=True))
    return app
