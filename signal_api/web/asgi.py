"""The shapes of ASGI, as far as they are used here."""

from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, TypeAlias

from signal_api.origins import Approach, join_headers
from signal_api.protocol.refusals import Refusal
from signal_api.web.problems import problem_reply

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]

#: An extension of a WebSocket's scope: the app is asked without a task. It accepts and takes over without waiting, or
#: does nothing, and leaves its verdict in the scope's state under VERDICT, where it finds it when it is asked again.
AT_ONCE, VERDICT = "fairlead.at_once", "fairlead.verdict"

_PLAIN = {"ws": "http", "wss": "https"}


def approach_of(scope: Scope) -> Approach:
    """How the request of a scope reached us; an end of the connection that has no address is the empty text."""
    client, server = scope.get("client"), scope.get("server")
    scheme: str = scope["scheme"]
    return Approach(
        scheme=_PLAIN.get(scheme, scheme),
        headers=join_headers(scope["headers"]),
        client=client[0] if client else "",
        server=server[0] if server else "",
    )


async def send_problem(scope: Scope, send: Send, refusal: Refusal, allow: str | None = None) -> None:
    """Answers a request, or a WebSocket that has not been accepted, with a problem document."""
    reply = problem_reply(refusal, allow)
    headers = [(name.encode(), value.encode()) for name, value in reply.headers.items()]
    kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    await send({"type": f"{kind}.start", "status": reply.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": reply.body})
