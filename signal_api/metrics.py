"""What signal_api counts. Labels are enums: never a user, an address, a room or the text of an error."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

from fairlead.metrics import Counts, Labels, LabelSet, Metrics
from signal_api.engine.contract import Census
from signal_api.protocol.authorization import Flaw
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
_WHERE_TO_LOOK = (
    "Tokens and keys that were not accepted. unknown_key, signature: compare jwt.keys or the key set with who signs; "
    "issuer, audience: with what the token says; claims: exp, iss, aud, sub and the types in sig; not_yet, expired: "
    "the clocks; malformed: neither a JWT nor the join key; revoked: /v1/admin/revocations; session_key: a session "
    "that is gone; api_key: signal_api.api_keys."
)

#: a family without its prefix, its help, its labels
Declare: TypeAlias = Callable[[str, str, Labels], Counts]

SESSION_ROUTES = (_SESSION, *(f"{_SESSION}/{verb}" for verb in SESSION_VERBS))


class _Labels(dict[str, LabelSet]):
    """Knows the types that have a label of their own, so that to look one up is all that a frame costs."""

    def __missing__(self, kind: str) -> LabelSet:
        return ("x",) if kind.startswith("x.") else ("other",)


#: the label set of a frame's type, whatever a client has written there
LABELS = _Labels((kind, (kind,)) for kind in FRAME_TYPES)


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
        self._count_sessions(metrics.counts)
        self._count_frames(metrics.counts)
        self._count_refusals(metrics.counts)
        self._count_requests(metrics.counts)
        self._count_relays(metrics.counts)
        self.frame_bytes = metrics.histogram("frame_bytes", "Sizes of clients' frames.", _FRAME_BYTES)[()]
        text = "From the receipt of a frame until it is queued for its receivers."
        self.relay_seconds = metrics.histogram("relay_seconds", text, _RELAY_SECONDS)[()]

    def _count_sessions(self, counts: Declare) -> None:
        self.sessions_opened = counts("sessions_opened", "Sessions that were opened.", {"transport": TRANSPORTS})
        text = (
            "Connections that sessions were given; many for few sessions: clients come back all the time, see closes."
        )
        self.connections = counts("connections", text, {"transport": TRANSPORTS})
        text = "Attempts to go on with a session. What is not resumed began anew, and the client was told."
        results = ("resumed", *(failure.value for failure in ResumeFailure))
        self.resumes = counts("resumes", text, {"result": results})
        text = "Connections that the server closed, by WebSocket code: 4102 no Redis, 4104 slow client, 4105 silence."
        self.closes = counts("closes", text, {"code": (str(code.value) for code in CloseCode)})
        self.joins = counts("joins", "Attempts to join a room.", {"result": ("joined", "refused")})
        self.kicks = counts("kicks", "Members sent out of a room.", {"by": ("member", "api")})

    def _count_frames(self, counts: Declare) -> None:
        self.frames = counts("frames", "Frames of clients, by type.", {"type": FRAME_TYPES})
        self.relayed = counts("frames_relayed", "Frames queued for other members.", {"type": RELAYED_TYPES})
        self.errors = counts("errors", "Refusals, in frames and in HTTP replies, by code.", {"code": ErrorCode})
        reasons = (reason.value for reason in LeaveReason)
        self.undelivered = counts("undelivered", "Frames lost with the session they were for.", {"reason": reasons})

    def _count_refusals(self, counts: Declare) -> None:
        self.auth_failures = counts("auth_failures", _WHERE_TO_LOOK, {"reason": Flaw})
        text = (
            "Requests above a rate: the keys under signal_api.limits. All clients at once: behind a proxy, name it in "
            "signal_api.trusted_proxies."
        )
        limits = ("frames", "connects", "ice", "polls", "passwords")
        self.rate_limited = counts("rate_limited", text, {"limit": limits})
        text = (
            "Fetches of the key set that tokens are checked with. While they fail the last keys count, and tokens of "
            "newer ones are refused."
        )
        self.key_sets = counts("key_sets_fetched", text, {"result": ("ok", "failed")})
        text = "Requests by a Host that is not in signal_api.hosts (421), of a page not in signal_api.origins (403)."
        self.origins_refused = counts("origins_refused", text, {"what": _FOREIGN})
        text = (
            "Connections that were ended for what they asked, how slowly, or how many they were: "
            "limits.connections_per_source, times.head_timeout, times.body_timeout."
        )
        self.turned_away = counts("turned_away", text, {"reason": _TURNED_AWAY})

    def _count_requests(self, counts: Declare) -> None:
        routes = (*ROUTES, *SESSION_ROUTES, ADMIN, PEERJS_ROUTE, "other")
        answers = {"route": routes, "code": ("2xx", "3xx", "4xx", "5xx")}
        self.http_requests = counts("http_requests", "HTTP requests, by what they were answered.", answers)
        results = ("delivered", "failed", "retried", "dropped")
        self.webhooks = counts("webhooks", "Events for back ends, by what became of them.", {"result": results})

    def _count_relays(self, counts: Declare) -> None:
        text = "TURN credentials: with a join, pushed before the last one ends, or by /v1/ice in a format."
        self.ice_issued = counts("ice_issued", text, {"format": ("join", "push", *IceFormat)})
        text = "Members who were told that a relay budget is nearly used or used up."
        self.quotas = counts("quotas", text, {"scope": ("session", "room", "total"), "state": ("nearly", "used_up")})
        reports = {"outcome": Result, "path": Path}
        self.reports = counts("reports", "Peer connections, as clients told of their outcome.", reports)
        text = "What turnd told of allocations and of itself."
        self.turn_events = counts("turn_events", text, {"event": TURN_EVENTS})

    def watch(self, sizes: Sizes, census: "CensusReader") -> None:
        """Declares the gauges, read at every scrape."""

        def sessions() -> dict[tuple[str, ...], float]:
            connected = sizes.connected()
            return {("connected",): connected, ("away",): len(sizes) - connected}

        gauge = self._metrics.gauge
        gauge("sessions", "Sessions of this node.", sessions, ("state",))
        gauge("rooms", "Rooms that are open, on all nodes that share them.", lambda: census().rooms)
        gauge("members", "Members of all rooms, on all nodes that share them.", lambda: census().members)


class CensusReader(Protocol):
    def __call__(self) -> Census: ...


_FOREIGN = ("host", "origin")
_TURNED_AWAY = ("head_timeout", "body_timeout", "per_source", "capacity", "malformed")
TURN_EVENTS = ("allocated", "refused", "ended", "usage", "draining")
