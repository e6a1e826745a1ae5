"""What PeerJS asks for by HTTP: an id of its own, who is there, and whether this is the right path."""

import uuid

from starlette.responses import JSONResponse, PlainTextResponse, Response

from fairlead.clock import Entropy
from signal_api.node.hub import Hub
from signal_api.node.registry import Registry
from signal_api.policy import Policy
from signal_api.protocol.peerjs import room_of
from signal_api.protocol.refusals import ErrorCode, Refusal
from signal_api.web.asgi import Receive, Scope, Send, send_problem

_ABOUT = {"name": "Fairlead", "description": "Peers of PeerJS find each other here.", "website": "https://peerjs.com/"}
_NO_STORE = {"Cache-Control": "no-store"}
#: PeerJS knows this one, and explains it to whoever asked for the list.
_NO_LIST = Refusal(ErrorCode.UNAUTHORIZED, "peers are not listed here; the operator can allow it: peerjs.discovery")


def is_socket(policy: Policy, path: str) -> bool:
    """Whether this is the path of the gateway's WebSocket."""
    return bool(policy.peerjs.keys) and path == f"{policy.peerjs.path}peerjs"


def is_request(policy: Policy, path: str) -> bool:
    """Whether this is a path below which PeerJS asks something; `{path}{key}/id`, for any key, as in PeerServer."""
    top = policy.peerjs.path
    if not policy.peerjs.keys or not path.startswith(top):
        return False
    key, _, verb = path.removeprefix(top).rpartition("/")
    return (bool(key) and "/" not in key and verb in ("id", "peers")) or (path == top and top != "/")


class PeerJsRequests:
    """An ASGI app for these paths; the gate has judged Host, Origin and size."""

    def __init__(self, hub: Hub, registry: Registry) -> None:
        self._hub = hub
        self._registry = registry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reply = await self._reply(scope["method"], scope["path"])
        if isinstance(reply, Refusal):
            self._hub.instruments.errors[reply.code.value,] += 1
            await send_problem(scope, send, reply)
        else:
            await reply(scope, receive, send)

    async def _reply(self, method: str, path: str) -> Response | Refusal:
        if method not in ("GET", "HEAD"):
            return Refusal(ErrorCode.METHOD_NOT_ALLOWED, f"{method} is nothing that can be done here")
        settings = self._hub.policy.peerjs
        key, _, verb = path.removeprefix(settings.path).rpartition("/")
        if verb == "id":
            return PlainTextResponse(_new_id(self._hub.entropy), headers=_NO_STORE)
        if verb != "peers":
            return JSONResponse(_ABOUT, headers=_NO_STORE)
        if not settings.discovery:
            return _NO_LIST
        if key not in settings.keys:
            return Refusal(ErrorCode.NOT_FOUND, "there is nothing here")
        ids = await self._registry.ids(room_of(key))
        return ids if isinstance(ids, Refusal) else JSONResponse(ids, headers=_NO_STORE)


def _new_id(entropy: Entropy) -> str:
    """As PeerServer makes them: a UUID of version 4."""
    return str(uuid.UUID(bytes=entropy(16), version=4))
