"""The part of the OpenAPI document that no framework writes: what is served below /v1/sessions."""

from typing import Any

import msgspec

from signal_api.node.frames import Hello, Welcome
from signal_api.protocol.messages import ClientFrame
from signal_api.relay.sightings import RelayView
from signal_api.transports.poll import Events
from signal_api.transports.posting import MAX_FRAMES, Results
from signal_api.transports.session_keys import Beacon
from signal_api.web.idempotency import LONGEST, SHORTEST
from signal_api.web.problems import ProblemDocument


class Frame(ClientFrame, frozen=True):
    """A frame of a client; `data` is any JSON."""

    data: Any = None


_TEMPLATE = "#/components/schemas/{name}"
_STRUCTS = (Hello, Welcome, Frame, Results, Events, Beacon, RelayView, ProblemDocument)
_TAG = "Sessions"
_SID = {"name": "sid", "in": "path", "required": True, "schema": {"type": "string", "maxLength": 64}}
_KEYED: list[dict[str, list[str]]] = [{"HTTPBearer": []}]


def with_sessions(document: dict[str, Any]) -> dict[str, Any]:
    """Adds the paths of sessions, and their schemas from the structs that read and write them."""
    _, schemas = msgspec.json.schema_components(_STRUCTS, ref_template=_TEMPLATE)
    known = document.setdefault("components", {}).setdefault("schemas", {})
    assert not schemas.keys() & known.keys()  # Two of one name would describe each other's replies.
    known.update(schemas)
    document["paths"].update(_paths())
    return document


def _paths() -> dict[str, Any]:
    frame = _schema("Frame")
    anything = {"type": "object", "description": "Whatever is no frame has a result that says so."}
    one = {"anyOf": [frame, anything]}
    frames = {"oneOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": MAX_FRAMES}]}
    cookie = _query("cookie", {"const": "1"}, "On https: leaves the key in a cookie, for EventSource and beacons.")
    once = {"name": "Idempotency-Key", "in": "header", "description": "Repeated within two minutes, it opens no other."}
    key = once | {"schema": {"type": "string", "pattern": "^[!-~]+$", "minLength": SHORTEST, "maxLength": LONGEST}}
    return {
        "/v1/sessions": {
            "post": _operation("Open a session", "Created", 201, "Welcome", _body(_schema("Hello")), [cookie, key])
        },
        "/v1/sessions/{sid}": {
            "parameters": [_SID],
            "delete": _operation("Leave for good", "Left", 204) | {"security": _KEYED},
        },
        "/v1/sessions/{sid}/close": {
            "parameters": [_SID],
            "post": _operation("Leave for good, by a beacon", "Left", 204, None, _body(_schema("Beacon"), False)),
        },
        "/v1/sessions/{sid}/messages": {
            "parameters": [_SID],
            "post": _operation("Send frames", "One result for each frame, in order", 202, "Results", _body(frames))
            | {"security": _KEYED},
        },
        "/v1/sessions/{sid}/events": {"parameters": [_SID], "get": _events()},
        "/v1/sessions/{sid}/relay": {
            "parameters": [_SID],
            "get": _operation("What turnd saw of this session", "Room by room", 200, "RelayView")
            | {"security": _KEYED},
        },
    }


def _events() -> dict[str, Any]:
    parameters = [
        _query("after", {"type": "string"}, "The last event id; the header Last-Event-ID wins on a stream."),
        _query("wait", {"type": "number", "minimum": 0, "maximum": 30, "default": 25}, "Seconds that a poll waits."),
        _query("max", {"type": "integer", "minimum": 1, "maximum": 256, "default": 64}, "Events that a poll takes."),
    ]
    what = "Events: a stream for Accept: text/event-stream, otherwise what a poll takes"
    operation = _operation("Receive events", what, 200, "Events", None, parameters) | {"security": _KEYED}
    operation["responses"]["200"]["content"]["text/event-stream"] = {"schema": {"type": "string"}}
    operation["responses"]["204"] = {"description": "This stream was closed for good; EventSource comes back no more."}
    return operation


def _operation(
    summary: str,
    outcome: str,
    status: int,
    schema: str | None = None,
    body: dict[str, Any] | None = None,
    parameters: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": _schema("ProblemDocument")}}
    content = {"content": {"application/json": {"schema": _schema(schema)}}} if schema else {}
    operation: dict[str, Any] = {
        "summary": summary,
        "tags": [_TAG],
        "responses": {
            str(status): {"description": outcome, **content},
            "4XX": {"description": "Not granted; 410 says to open a new session.", "content": problem},
            "5XX": {"description": "Not now.", "content": problem},
        },
    }
    operation |= {"requestBody": body} if body is not None else {}
    return operation | ({"parameters": parameters} if parameters else {})


def _schema(name: str) -> dict[str, str]:
    return {"$ref": _TEMPLATE.format(name=name)}


def _body(schema: dict[str, Any], required: bool = True) -> dict[str, Any]:
    return {"required": required, "content": {"application/json": {"schema": schema}}}


def _query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": schema, "description": description}
