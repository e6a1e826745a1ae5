"""sig.v1 over HTTP: raw ASGI handlers that open a session, read its events, bring frames to it and end it."""

import re
from typing import NamedTuple
from urllib.parse import parse_qs

import msgspec

from fairlead.log import get_logger
from signal_api.clients import VISITOR, Client, Visitor
from signal_api.node.custody import Errand, Outcome, unavailable
from signal_api.node.dispatch import Dispatch
from signal_api.node.hub import Hub
from signal_api.origins import Approach
from signal_api.protocol.authorization import Flaw
from signal_api.protocol.effects import LeaveReason
from signal_api.protocol.messages import to_json
from signal_api.protocol.refusals import Closing, EngineUnavailableError, ErrorCode, Refusal, refusal_of
from signal_api.protocol.sessions import Entry, Position, ResumeFailure, parse_position
from signal_api.relay.sightings import relay_view
from signal_api.transports.opening import Openings
from signal_api.transports.poll import Mailbox, Wait
from signal_api.transports.posting import post, read_frames
from signal_api.transports.session_keys import beacon_key, bearer_key, cookie_key, drop_cookie, set_cookie
from signal_api.transports.sse import EventStream
from signal_api.web.asgi import Message, Receive, Scope, Send, approach_of, send_problem
from signal_api.web.idempotency import HEADER
from signal_api.web.problems import RefusedError

#: seconds that a poll waits unless it says how long, and at most
_WAIT, _LONGEST_WAIT = 25.0, 30.0
#: events that a poll takes unless it says how many, and at most
_MOST, _MOST_EVER = 64, 256
_PATH = re.compile(r"/v1/sessions(?:/(?P<sid>[^/]{1,64})(?:/(?P<verb>events|messages|close|relay))?)?")
_NUMBER = re.compile(r"[0-9]{1,4}(?:\.[0-9]{1,3})?", re.ASCII)
_JSON = (b"content-type", b"application/json")
_NO_STORE = (b"cache-control", b"no-store")
_STATUS = {"end": 204, "messages": 202, "relay": 200}
_EXPIRED = Refusal(
    ErrorCode.TOKEN_EXPIRED, "the session's token has expired; resume it with a fresh one by POST /v1/sessions"
)

_log = get_logger("signal_api.http")


class _Call(NamedTuple):
    """One request for one session."""

    scope: Scope
    receive: Receive
    send: Send
    approach: Approach
    visitor: Visitor
    sid: str

    @property
    def query(self) -> dict[str, str]:
        text = self.scope["query_string"].decode("latin-1")
        try:
            return {name: values[-1] for name, values in parse_qs(text, max_num_fields=16).items()}
        except ValueError:
            raise RefusedError(Refusal(ErrorCode.BAD_REQUEST, "the query holds at most 16 parameters")) from None


class HttpTransport:
    """An ASGI app for what lies below /v1/sessions; the gate has judged Host, Origin and size."""

    def __init__(self, hub: Hub, dispatch: Dispatch) -> None:
        self._hub = hub
        self._dispatch = dispatch
        self._openings = Openings(hub, dispatch)
        if hub.custody is not None:
            hub.custody.perform = self._perform
        self._verbs = {
            ("POST", False, None): self._open,
            ("GET", True, "events"): self._events,
            ("POST", True, "messages"): self._messages,
            ("POST", True, "close"): self._close,
            ("GET", True, "relay"): self._relay,
            ("DELETE", True, None): self._delete,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_begun = False

        async def watched(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            refusal = await self._serve(scope, receive, watched)
        except Exception:
            _log.exception("a request failed")
            if has_begun:
                return
            refusal = Refusal(ErrorCode.INTERNAL, "this failed, and its log says why")
        if refusal is not None:
            self._hub.instruments.errors[refusal.code.value,] += 1
            allow = self._allowed(scope["path"]) if refusal.code is ErrorCode.METHOD_NOT_ALLOWED else None
            await send_problem(scope, send, refusal, allow)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> Refusal | None:
        found = _PATH.fullmatch(scope["path"])
        if found is None:
            return Refusal(ErrorCode.NOT_FOUND, "there is nothing here")
        handler = self._verbs.get((scope["method"], found["sid"] is not None, found["verb"]))
        if handler is None:
            return Refusal(ErrorCode.METHOD_NOT_ALLOWED, f"{scope['method']} is nothing that can be done here")
        call = _Call(scope, receive, send, approach_of(scope), scope[VISITOR], found["sid"] or "")
        try:
            return await handler(call)
        except RefusedError as error:
            return error.refusal
        except EngineUnavailableError as error:
            return unavailable(error)

    def _allowed(self, path: str) -> str | None:
        """What can be done at a path, for the header Allow (RFC 9110 section 10.2.1)."""
        found = _PATH.fullmatch(path)
        here = (found["sid"] is not None, found["verb"]) if found is not None else None
        return ", ".join(method for method, *place in self._verbs if tuple(place) == here) or None

    # Opening and ending

    async def _open(self, call: _Call) -> Refusal | None:
        wait = self._hub.may_connect(call.visitor.source)
        if wait:
            return self._limited("connects", "too many connections from your address", wait)
        key, cookie = call.approach.headers.get(HEADER), call.query.get("cookie")
        if cookie not in (None, "1"):
            return Refusal(ErrorCode.BAD_REQUEST, "cookie is 1, or left out")
        welcome = await self._openings.open(await _body(call.receive), call.visitor, key)
        opened = msgspec.json.decode(welcome, type=_Opened)
        headers = [_JSON, _NO_STORE, (b"location", f"/v1/sessions/{opened.sid}".encode())]
        if cookie and call.approach.scheme == "https":
            headers.append(set_cookie(opened.sid, opened.key))
        await _reply(call.send, 201, headers, welcome)
        return None

    async def _delete(self, call: _Call) -> Refusal | None:
        return await self._have_done(call, "end", bearer_key(call.approach))

    async def _close(self, call: _Call) -> Refusal | None:
        """As DELETE, for a page that goes: a beacon has no headers of its own, so the key may be its body."""
        key = bearer_key(call.approach) or cookie_key(call.approach, call.sid)
        return await self._have_done(call, "end", key or beacon_key(await _body(call.receive)))

    async def _messages(self, call: _Call) -> Refusal | None:
        return await self._have_done(call, "messages", bearer_key(call.approach), await _body(call.receive))

    async def _relay(self, call: _Call) -> Refusal | None:
        """What turnd saw."""
        return await self._have_done(call, "relay", bearer_key(call.approach))

    # What any node has done by the node of the session

    async def _have_done(self, call: _Call, verb: str, key: str | None, body: bytes = b"") -> Refusal | None:
        outcome = None
        client = self._hub.roster.holder(call.sid, key) if key is not None else None
        if client is None and key is not None and self._hub.custody is not None:
            outcome = await self._hub.custody.send(Errand(verb, call.sid, key, body))
            client = await self._hub.custody.find(call.sid, key) if outcome is None else None
        if outcome is None:
            if client is None:
                return self._nobody(key)
            outcome = await self._perform(client, verb, body)
        if outcome.refusal is None:
            headers = [_JSON, _NO_STORE] if outcome.body else [_NO_STORE]
            if verb == "end" and cookie_key(call.approach, call.sid) is not None:
                headers.append(drop_cookie(call.sid))
            await _reply(call.send, _STATUS[verb], headers, outcome.body)
        return outcome.refusal

    async def _perform(self, client: Client, verb: str, body: bytes) -> Outcome:
        """What a request asks for, done for a client of this node."""
        if verb == "end":
            self._hub.end(client, LeaveReason.LEAVE)
            return Outcome()
        if not client.is_authorized(self._hub.clock.now()):
            return Outcome(refusal=_EXPIRED)
        if verb == "relay":
            wait = self._pause(client)
            if wait:
                return Outcome(refusal=self._limited("polls", "too many questions", wait))
            return Outcome(to_json(relay_view(self._hub.sightings, client.session)))
        frames = read_frames(body, self._hub.policy.limits.frame_bytes)
        results = await post(self._dispatch, client, frames) if isinstance(frames, list) else frames
        if isinstance(results, Closing):
            return Outcome(refusal=refusal_of(results))
        return Outcome(results) if isinstance(results, bytes) else Outcome(refusal=results)

    # Events for the client

    async def _events(self, call: _Call) -> Refusal | None:
        key = bearer_key(call.approach) or cookie_key(call.approach, call.sid)
        client = await self._holder(call, key)
        if isinstance(client, Refusal):
            return client
        assert key is not None  # Without it nobody is authorized.
        if self._hub.draining:
            return Refusal(ErrorCode.DRAINING, "this server is about to stop", retry_after=1.0)
        if "text/event-stream" in call.approach.headers.get("accept", ""):
            return await self._stream(call, client, key)
        return await self._poll(call, client, key)

    async def _stream(self, call: _Call, client: Client, key: str) -> Refusal | None:
        wait = self._hub.may_connect(call.visitor.source)
        if wait:
            return self._limited("connects", "too many connections from your address", wait)
        last = call.approach.headers.get("last-event-id")
        if last and self._was_dismissed(client, last):
            await _reply(call.send, 204, [_NO_STORE], b"")
            return None
        after = last or call.query.get("after")
        stream = EventStream(self._hub, client, call.send)
        self._hub.come_back(client, key, call.visitor, stream, _missed(client, after), greet=after is not None)
        await self._dispatch.begin(client)
        await stream.serve(call.receive)
        return None

    def _was_dismissed(self, client: Client, last: str) -> bool:
        """Whether this is the stream that was told not to come back, trying once more by itself while another
        connection is there."""
        dismissal, client.dismissal = client.dismissal, None
        if dismissal is None or client.connection is None or self._hub.clock.now().monotonic >= dismissal.until:
            return False
        try:
            position = parse_position(last)
        except ValueError:
            return False
        return position.epoch == dismissal.at.epoch and position.seq <= dismissal.at.seq

    async def _poll(self, call: _Call, client: Client, key: str) -> Refusal | None:
        hub, query = self._hub, call.query
        seconds = _number(query, "wait", _WAIT, _LONGEST_WAIT)
        most = max(1, round(_number(query, "max", _MOST, _MOST_EVER)))
        wait = self._pause(client)
        if wait:
            return self._limited("polls", "too many polls", wait)
        client.last_heard = hub.clock.now().monotonic
        after = query.get("after") or call.approach.headers.get("last-event-id")
        missed = _missed(client, after)
        anew = after is None or isinstance(missed, ResumeFailure)
        mailbox = client.connection
        if not isinstance(mailbox, Mailbox) or isinstance(missed, ResumeFailure):
            mailbox = Mailbox(hub)
            mailbox.client = client
            hub.come_back(client, key, call.visitor, mailbox, missed, greet=after is not None)
            position = _position(client, None if anew else after)
            await self._dispatch.begin(client)
        else:
            position = _position(client, after)
        batch = await mailbox.poll(Wait(position, seconds, most), call.receive)
        if batch is not None:
            await _reply(call.send, 200, [_JSON, _NO_STORE], batch.encode())
        return None

    # Who asks

    def _pause(self, client: Client) -> float:
        """0.0, or the seconds until the client may ask again: questions count as frames."""
        return client.bucket.take(self._hub.policy.frame_rate, self._hub.clock.now().monotonic)

    async def _holder(self, call: _Call, key: str | None) -> Client | Refusal:
        """The client that asks for events, which are here from now on."""
        client = self._hub.roster.holder(call.sid, key) if key is not None else None
        is_polled = client is not None and isinstance(client.connection, Mailbox)
        if key is not None and not is_polled and self._hub.custody is not None:
            client = await self._hub.custody.find(call.sid, key)
        if client is None:
            return self._nobody(key)
        return client if client.is_authorized(self._hub.clock.now()) else _EXPIRED

    def _nobody(self, key: str | None) -> Refusal:
        if key is None:
            return Refusal(ErrorCode.UNAUTHORIZED, "the key of the session goes into Authorization: Bearer")
        self._hub.instruments.auth_failures[Flaw.SESSION_KEY.value,] += 1
        return Refusal(ErrorCode.SESSION_EXPIRED, "no such session under this key; open one by POST /v1/sessions")

    def _limited(self, limit: str, wrong: str, wait: float) -> Refusal:
        self._hub.instruments.rate_limited[limit,] += 1
        return Refusal(ErrorCode.RATE_LIMITED, wrong, wait)


class _Opened(msgspec.Struct, frozen=True):
    sid: str
    key: str


def _missed(client: Client, after: str | None) -> list[Entry] | ResumeFailure:
    """Who says no position has read nothing."""
    session = client.session
    return session.since(Position(session.epoch, 0)) if after is None else session.after(after)


def _position(client: Client, after: str | None) -> Position:
    """Where a poll reads from; to be taken before anything can change the epoch."""
    return Position(client.session.epoch, 0) if after is None else parse_position(after)


def _number(query: dict[str, str], name: str, default: float, most: float) -> float:
    text = query.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text) or float(text) > most:
        raise RefusedError(Refusal(ErrorCode.BAD_REQUEST, f"{name} is a number from 0 to {most:g}"))
    return float(text)


async def _body(receive: Receive) -> bytes:
    """The whole of it; half a request is none."""
    parts = []
    while (message := await receive())["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)
    raise RefusedError(Refusal(ErrorCode.BAD_REQUEST, "the request ended in the middle of its body"))


async def _reply(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
