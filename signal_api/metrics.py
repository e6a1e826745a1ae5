"""What signal_api counts. Labels are enums: never a user, an address, a room or the text of an error."""

from typing import Protocol

from fairlead.metrics import Metrics
from signal_api.engine.contract import Census
from signal_api.protocol.effects import LeaveReason
from signal_api.protocol.messages import NEGOTIATION
from signal_api.protocol.refusals import CloseCode, ErrorCode
from signal_api.protocol.sessions import ResumeFailure
from signal_api.relay.ice_servers import IceFormat
from signal_api.relay.reports import Path, Result

ROUTES = ("/", "/v1/ice", "/v1/info", "/v1/openapi.json", "/v1/asyncapi.json", "/v1/sessions")
#: what follows the id of a session in a path
SESSION_VERBS = ("events", "messages", "close", "relay")
#: what PeerJS asks for, at the path that is configured
PEERJS_ROUTE = "peerjs"
#: all of the admin API, whose paths carry names
ADMIN = "/v1/admin"
_SESSION = "/v1/sessions/{sid}"
TRANSPORTS = ("websocket", "sse", "poll", "peerjs")
#: Types of frames that go to other members, by which they are counted; an application's own are "x".
RELAYED_TYPES = (*sorted(NEGOTIATION), "message", "x")
#: Types of clients' frames; what no client has to send is "other".
FRAME_TYPES = (
    *RELAYED_TYPES, "hello", "join", "leave", "meta.set", "kick", "unban", "token", "report", "ping", "pong", "other",
)  # fmt: skip
#: seconds from the receipt of a frame until it is queued for every receiver on this node
_RELAY_SECONDS = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0)
_FRAME_BYTES = (64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0)

SESSION_ROUTES = (_SESSION, *(f"{_SESSION}/{verb}" for verb in SESSION_VERBS))
_KNOWN = frozenset(FRAME_TYPES)


def frame_type(kind: str) -> str:
    """The label of a frame's type."""
    if kind in _KNOWN:
        return kind
    return "x" if kind.startswith("x.") else "other"


def route_label(path: str) -> str:
    """The label of a request's path; ids of sessions are left out."""
    if path in ROUTES:
        return path
    if path.startswith(f"{ADMIN}/"):
        return ADMIN
    before, _, rest = path.partition("/v1/sessions/")
    sid, slash, verb = rest.partition("/")
    if before or not sid or (slash and verb not in SESSION_VERBS):
        return "other"
    return f"{_SESSION}{slash}{verb}"


class Sizes(Protocol):
    """What stands at the moment of a scrape."""

    def connected(self) -> int: ...

    def __len__(self) -> int: ...


class Instruments:
    """Totals that the code adds to, under the names of the families without prefix."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        counts = metrics.counts
        self.sessions_opened = counts("sessions_opened", "Sessions that were opened.", {"transport": TRANSPORTS})
        text = "Connections that sessions were given."
        self.connections = counts("connections", text, {"transport": TRANSPORTS})
        results = ("resumed", *(failure.value for failure in ResumeFailure))
        self.resumes = counts("resumes", "Attempts to go on with a session.", {"result": results})
        self.frames = counts("frames", "Frames of clients.", {"type": FRAME_TYPES})
        self.relayed = counts("frames_relayed", "Frames queued for other members.", {"type": RELAYED_TYPES})
        self.errors = counts("errors", "Refusals, in frames and in HTTP replies.", {"code": ErrorCode})
        closings = (str(code.value) for code in CloseCode)
        self.closes = counts("closes", "Connections that the server closed.", {"code": closings})
        self.joins = counts("joins", "Attempts to join a room.", {"result": ("joined", "refused")})
        self.kicks = counts("kicks", "Members sent out of a room.", {"by": ("member", "api")})
        reasons = (reason.value for reason in LeaveReason)
        self.undelivered = counts("undelivered", "Frames lost with the session they were for.", {"reason": reasons})
        self.auth_failures = counts("auth_failures", "Tokens that were not accepted.", {"reason": _AUTH_FAILURES})
        limits = ("frames", "connects", "ice", "polls", "passwords")
        self.rate_limited = counts("rate_limited", "Requests above a rate.", {"limit": limits})
        text = "Fetches of the key set that tokens are checked with."
        self.key_sets = counts("key_sets_fetched", text, {"result": ("ok", "failed")})
        self.ice_issued = counts("ice_issued", "TURN credentials.", {"format": ("join", "push", *IceFormat)})
        self.origins_refused = counts("origins_refused", "Requests of foreign pages or hosts.", {"what": _FOREIGN})
        text = "Connections that were ended for what they asked, how slowly, or how many they were."
        self.turned_away = counts("turned_away", text, {"reason": _TURNED_AWAY})
        routes = (*ROUTES, *SESSION_ROUTES, ADMIN, PEERJS_ROUTE, "other")
        answers = {"route": routes, "code": ("2xx", "3xx", "4xx", "5xx")}
        self.http_requests = counts("http_requests", "HTTP requests, by what they were answered.", answers)
        text = "Members who were told that a relay budget is nearly used or used up."
        self.quotas = counts("quotas", text, {"scope": ("session", "room", "total"), "state": ("nearly", "used_up")})
        reports = {"outcome": Result, "path": Path}
        self.reports = counts("reports", "Peer connections, as clients told of their outcome.", reports)
        results = ("delivered", "failed", "retried", "dropped")
        self.webhooks = counts("webhooks", "Events for back ends, by what became of them.", {"result": results})
        self.turn_events = counts("turn_events", "Events of the relay.", {"event": TURN_EVENTS})
        self.frame_bytes = metrics.histogram("frame_bytes", "Sizes of clients' frames.", _FRAME_BYTES)[()]
        text = "From the receipt of a frame until it is queued for its receivers."
        self.relay_seconds = metrics.histogram("relay_seconds", text, _RELAY_SECONDS)[()]

    def watch(self, sizes: Sizes, census: "CensusReader") -> None:
        """Declares the gauges, read at every scrape."""

        def sessions() -> dict[tuple[str, ...], float]:
            connected = sizes.connected()
            return {("connected",): connected, ("away",): len(sizes) - connected}

        gauge = self._metrics.gauge
        gauge("sessions", "Sessions of this node.", sessions, ("state",))
        gauge("rooms", "Rooms that have members.", lambda: census().rooms)
        gauge("members", "Members of all rooms.", lambda: census().members)


class CensusReader(Protocol):
    def __call__(self) -> Census: ...


_AUTH_FAILURES = (ErrorCode.UNAUTHORIZED, ErrorCode.TOKEN_EXPIRED)
_FOREIGN = ("host", "origin")
_TURNED_AWAY = ("head_timeout", "body_timeout", "per_source", "capacity", "malformed")
TURN_EVENTS = ("allocated", "refused", "ended", "usage", "draining")
