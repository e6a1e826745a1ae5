"""Who asks, and whether their key is good for it; and POSTs that come twice."""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec
from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.routing import Match
from starlette.types import Scope as HttpScope

from signal_api.api_keys import ApiKey, Scope
from signal_api.node.custody import Outcome, Repeat
from signal_api.node.hub import Hub
from signal_api.protocol.authorization import Flaw
from signal_api.protocol.refusals import EngineUnavailableError, ErrorCode, Refusal
from signal_api.web.idempotency import HEADER, Repeats, digest_of, read_key
from signal_api.web.problems import RefusedError

_bearer = HTTPBearer(auto_error=False, scheme_name="ApiKey", description="A key of signal_api.api_keys.")
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
#: a slash or a percent sign inside a name
_INSIDE = re.compile(rb"%(2[Ff]|25)")
_UNKNOWN = Refusal(ErrorCode.UNAUTHORIZED, "this needs an API key")


def needs(hub: Hub, scope: Scope) -> Callable[[Bearer], ApiKey]:
    """A dependency that lets in keys with this scope."""

    def guard(bearer: Bearer) -> ApiKey:
        key = hub.policy.keyring.find(bearer.credentials) if bearer is not None else None
        if key is None:
            hub.instruments.auth_failures[Flaw.API_KEY.value,] += 1
            raise RefusedError(_UNKNOWN)
        if scope not in key.scopes:
            raise RefusedError(Refusal(ErrorCode.FORBIDDEN, "the key has not this scope", details={"needs": scope}))
        return key

    return guard


def granted(outcome: Any) -> None:
    """Ends the request when the outcome is a refusal."""
    if isinstance(outcome, Refusal):
        raise RefusedError(outcome)


class _Reply(msgspec.Struct, frozen=True, array_like=True):
    """A reply on its way to another node."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Once:
    """POSTs that come twice, at whichever nodes: the one that was asked first does it, and answers at the others."""

    def __init__(self, hub: Hub) -> None:
        self._repeats: Repeats[Response] = Repeats(hub.clock)
        self._custody = hub.custody
        if self._custody is not None:
            self._custody.answered = self._answered

    async def answer(self, request: Request, handler: Callable[[Request], Awaitable[Response]]) -> Response:
        """Raises RefusedError and EngineUnavailableError."""
        key = read_key(request.headers.get(HEADER)) if request.method == "POST" else None
        if key is None:
            return await handler(request)
        who = hashlib.sha256(request.headers.get("authorization", "").encode()).hexdigest()
        name, body = f"{who} {request.url.path} {key}", await request.body()
        repeat = Repeat(name, digest_of(body))
        return await self._repeats.once((name,), body, lambda: self._do(repeat, request, handler))

    async def _do(
        self, repeat: Repeat, request: Request, handler: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        done = await self._custody.done_elsewhere(repeat) if self._custody is not None else None
        if done is None:
            return await handler(request)
        granted(done.refusal)
        reply = msgspec.msgpack.decode(done.body, type=_Reply)
        response = Response(reply.body, reply.status)
        response.raw_headers = reply.headers
        return response

    async def _answered(self, repeat: Repeat) -> Outcome | None:
        """What was answered here, as soon as it is; an attempt that failed is no answer."""
        try:
            known = self._repeats.known((repeat.key,), repeat.digest)
        except RefusedError as error:
            return Outcome(refusal=error.refusal)
        if known is None:
            return None
        await asyncio.wait([known])
        if known.exception() is not None:
            return None
        said = known.result()
        return Outcome(msgspec.msgpack.encode(_Reply(said.status_code, said.raw_headers, bytes(said.body))))


def route_class(once: Once) -> type[APIRoute]:
    """Routes that answer a POST with a known Idempotency-Key as before, and say when the store does not answer.
    A slash that a path has as %2F belongs to a name, and ends none."""

    class AdminRoute(APIRoute):
        def matches(self, scope: HttpScope) -> tuple[Match, HttpScope]:
            match, found = super().matches({**scope, "path": _path_of_names(scope)})
            if match is not Match.NONE:
                named = found["path_params"]
                found["path_params"] = {key: unquote(name) for key, name in named.items()}
            return match, found

        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handler = super().get_route_handler()

            async def handle(request: Request) -> Response:
                try:
                    return await once.answer(request, handler)
                except EngineUnavailableError as error:
                    wrong = f"rooms cannot be changed just now: {error}"
                    raise RefusedError(Refusal(ErrorCode.ENGINE_UNAVAILABLE, wrong, 1.0)) from None

            return handle

    return AdminRoute


def _path_of_names(scope: HttpScope) -> str:
    """The path decoded, but for slashes inside of names, and for what would look like one of those."""
    raw: bytes | None = scope.get("raw_path")
    path: str = scope["path"]
    return path if raw is None else unquote(_INSIDE.sub(rb"%25\1", raw).decode("latin-1"))
