"""Headers of every reply: what browsers may do with our pages, and which other pages may read our answers."""

from signal_api.origins import Approach
from signal_api.web.asgi import Message, Send

Headers = list[tuple[bytes, bytes]]

#: Nobody may frame the page, sniff a type, or learn where its user came from; it loads nothing from elsewhere.
_SECURITY: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), microphone=(self), geolocation=()"),
]
_CONTENT_SECURITY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
    "connect-src 'self'{sockets}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
#: The answer to a preflight from a page that is welcome.
PREFLIGHT: Headers = [
    (b"access-control-allow-methods", b"GET, POST, DELETE"),
    (b"access-control-allow-headers", b"authorization, content-type, idempotency-key, last-event-id"),
    (b"access-control-max-age", b"600"),
]


def security_headers(approach: Approach, host_is_ours: bool) -> Headers:
    """Some browsers want the page's own WebSocket named beside 'self'; a Host that is not ours is not repeated."""
    host = approach.headers.get("host", "")
    sockets = f" ws://{host} wss://{host}" if host_is_ours else ""
    # On plain http browsers ignore it, and say so.
    isolation = [(b"cross-origin-opener-policy", b"same-origin")] if approach.scheme == "https" else []
    return [
        *_SECURITY,
        *isolation,
        (b"content-security-policy", _CONTENT_SECURITY.format(sockets=sockets).encode("latin-1")),
    ]


def cross_origin_headers(approach: Approach, is_welcome: bool) -> Headers:
    """Lets a page that is welcome read the answer; the browser's own credentials (cookies) are never let in."""
    origin = approach.headers.get("origin")
    if origin is None or not is_welcome:
        return [(b"vary", b"origin")]
    exposed = (b"access-control-expose-headers", b"link, retry-after")
    return [(b"vary", b"origin"), (b"access-control-allow-origin", origin.encode("latin-1")), exposed]


def is_preflight(method: str, approach: Approach) -> bool:
    """Whether a browser asks if it may ask (Fetch standard, CORS-preflight request)."""
    return method == "OPTIONS" and "origin" in approach.headers and "access-control-request-method" in approach.headers


def with_headers(send: Send, headers: Headers) -> Send:
    """Adds headers to whatever reply is sent; what says nothing of caching is asked for anew each time."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = message.get("headers", [])
            caching = [] if any(name == b"cache-control" for name, _ in given) else [(b"cache-control", b"no-cache")]
            message = {**message, "headers": [*given, *caching, *headers]}
        await send(message)

    return send_with_headers
