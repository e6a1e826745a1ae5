"""The REST side: ICE servers with fresh credentials, and what this service can do."""

import functools
import hmac
from typing import Annotated, Any, NamedTuple

import msgspec
from fastapi import APIRouter, Body, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field, model_validator

from fairlead import __version__
from fairlead.buckets import BucketTable
from signal_api.asyncapi import asyncapi
from signal_api.clients import VISITOR, Client, Visitor
from signal_api.metrics import TRANSPORTS
from signal_api.node.custody import Custody, unavailable
from signal_api.node.frames import FEATURES, PROTOCOL
from signal_api.node.hub import Hub
from signal_api.node.relaying import Relaying
from signal_api.protocol.authorization import Ability, Flaw, Grants
from signal_api.protocol.names import letters
from signal_api.protocol.refusals import EngineUnavailableError, ErrorCode, Refusal
from signal_api.relay.ice_servers import IceFormat, IceGrant, link_header, render
from signal_api.web.problems import RefusedError

#: rows of the table of those who ask for credentials
_ROWS = 8192
_NO_STORE = {"Cache-Control": "no-store"}


_UNBOUND = Refusal(
    ErrorCode.FORBIDDEN,
    "the token bounds what its user relays, and a credential outside of rooms is bound by nothing; join a room: "
    "`joined` brings one, and POST with the room and the sid or the member another",
)
_NO_MEMBER = Refusal(ErrorCode.FORBIDDEN, "you are no such member of that room, or may not relay there")


class _Asker(NamedTuple):
    """The user id of the credential, whose bucket it is taken from, and when (Unix time) it ends at the latest."""

    user: str
    bucket: bytes
    until: float | None = None


class IceServer(BaseModel):
    """W3C RTCIceServer."""

    urls: list[str]
    username: str | None = None
    credential: str | None = None


class IceServers(BaseModel):
    """The reply in the format `webrtc`; the other formats carry the same credential in other shapes."""

    iceServers: list[IceServer]  # noqa: N815 - the W3C's name
    ttl: int = Field(description="Seconds that the credential is good.")
    expires_at: str
    refresh_at: str = Field(description="When to ask again, well before the end.")
    username: str
    id: str
    region: str | None = None


class IceRequest(BaseModel):
    """A membership of which the credential is wanted: by the session, and then its key is the bearer token, or by the
    id of the member, and then a token of its user is, as for a page of PeerJS, which knows no session."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["sid"]}, {"required": ["member"]}]})

    room: str = Field(max_length=128)
    sid: str = Field(default="", max_length=64)
    member: str = Field(default="", max_length=64)

    @model_validator(mode="after")
    def _is_one(self) -> "IceRequest":
        if len(self.model_fields_set & {"sid", "member"}) != 1:
            raise ValueError("name the session or the member, by sid or member")
        return self


class Problem(BaseModel):
    """RFC 9457, with the code that programs switch on."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retryable: bool


class Info(BaseModel):
    """What this service speaks, and whether the one who asks needs a token."""

    version: str
    protocol: list[str]
    features: list[str]
    transports: list[str]
    ice_formats: list[str]
    limits: dict[str, int]
    regions: list[str]
    access: str = Field(description="`open` when this request would be let in without a token, `token` otherwise.")


_PROBLEM = {"application/problem+json": {"schema": Problem.model_json_schema()}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": _PROBLEM}
    for status, description in (
        ("4XX", "The request is not understood."),
        (401, "There is no token, or it is not accepted."),
        (403, "The token does not grant this, or the page is a stranger."),
        (429, "Too often; Retry-After says when to come again."),
    )
}
_bearer = HTTPBearer(auto_error=False, description="A JSON Web Token, the join key, or the key of a session.")
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
Shape = Annotated[IceFormat, Query(alias="format", description="The shape that the client expects.")]


@functools.cache
def document_of_frames() -> bytes:
    """What anybody may ask for, made once: it takes milliseconds."""
    return msgspec.json.encode(asyncapi())


class Rest:
    """The handlers, and their routes."""

    def __init__(self, hub: Hub, relaying: Relaying) -> None:
        self._hub = hub
        self._relaying = relaying
        self._buckets = BucketTable(_ROWS, hub.entropy(16))
        self.router = APIRouter(prefix="/v1")
        ice: dict[str, Any] = {
            "response_model": IceServers | list[IceServer] | dict[str, Any],
            "responses": PROBLEMS,
            "tags": ["ICE"],
            "dependencies": [Depends(self._look_for_key)],
        }
        self.router.add_api_route("/ice", self.get_ice, methods=["GET"], summary="ICE servers", **ice)
        self.router.add_api_route("/ice", self.post_ice, methods=["POST"], summary="ICE servers", **ice)
        self.router.add_api_route("/asyncapi.json", self.asyncapi, methods=["GET"], include_in_schema=False)
        self.router.add_api_route("/info", self.info, methods=["GET"], summary="This service", tags=["Service"])

    async def get_ice(self, request: Request, bearer: Bearer, shape: Shape = IceFormat.WEBRTC) -> Response:
        """STUN and TURN servers with a credential of the token's subject, which ends with the token. A token that
        bounds what is relayed gets none: what it relays is counted by rooms."""
        return await self._ice(request, bearer, shape, None)

    async def post_ice(
        self,
        request: Request,
        bearer: Bearer,
        shape: Shape = IceFormat.WEBRTC,
        asked: Annotated[IceRequest | None, Body()] = None,
    ) -> Response:
        """As GET; with a room and a session or a member of it, the credential of that membership, made anew."""
        return await self._ice(request, bearer, shape, asked)

    async def asyncapi(self) -> Response:
        """The frames of sig.v1."""
        return Response(document_of_frames(), media_type="application/json")

    async def info(self, request: Request) -> Info:
        """What this service speaks."""
        hub, visitor = self._hub, _visitor(request)
        limits = hub.policy.limits
        entered = hub.policy.doorkeeper.admit(None, visitor.is_local, hub.clock.now())
        return Info(
            version=__version__,
            protocol=[f"sig.v{PROTOCOL}"],
            features=FEATURES,
            transports=[name for name in TRANSPORTS if name != "peerjs" or hub.policy.peerjs.keys],
            ice_formats=[shape.value for shape in IceFormat],
            limits={"frame_bytes": limits.frame_bytes, "rooms": limits.rooms_per_session},
            regions=[hub.policy.issuer.region] if hub.policy.issuer.region else [],
            access="open" if isinstance(entered, Grants) else "token",
        )

    async def _ice(self, request: Request, bearer: Bearer, shape: IceFormat, asked: IceRequest | None) -> Response:
        visitor = _visitor(request)
        token = bearer.credentials if bearer is not None else None
        if asked is None:
            asker = self._by_token(token, visitor)
        else:
            is_session = "sid" in asked.model_fields_set
            asker = await (self._by_session(token, asked) if is_session else self._by_member(token, visitor, asked))
        hub = self._hub
        now = hub.clock.now()
        wait = self._buckets.take(asker.bucket, hub.policy.ice_rate, now.monotonic)
        if wait:
            hub.instruments.rate_limited["ice",] += 1
            raise RefusedError(Refusal(ErrorCode.RATE_LIMITED, "too many credentials; use the last one", wait))
        given = hub.desk.issue(asker.user, visitor.host, shape.value, asker.until)
        return _ice_response(given, shape)

    async def _look_for_key(self, bearer: Bearer) -> None:
        await self._hub.look_for_key(bearer.credentials if bearer is not None else None)

    def _by_token(self, token: str | None, visitor: Visitor) -> _Asker:
        grants = self._hub.admit(token, visitor)
        if isinstance(grants, Refusal):
            raise RefusedError(grants)
        if not grants.allow(Ability.ICE):
            raise RefusedError(Refusal(ErrorCode.FORBIDDEN, "the token does not grant ice"))
        if grants.relay is not None:
            raise RefusedError(_UNBOUND)
        if grants.user is None:
            return _Asker(self._guest(visitor.source), b"source:" + visitor.source)
        return _Asker(grants.user, b"user:" + grants.user.encode(), grants.expires)

    def _guest(self, source: bytes) -> str:
        """Guests have no name, and turnd counts by users: those of one source are one, and take nothing from others.
        From the name nobody finds the source who has not the secret."""
        return f"guest-{letters(hmac.digest(self._hub.policy.issuer.secret, source, 'sha256')[:10])}"

    async def _by_session(self, key: str | None, asked: IceRequest) -> _Asker:
        client = self._hub.roster.holder(asked.sid, key) if key is not None else None
        if client is None and key is not None and self._hub.custody is not None:
            client = await _viewed(asked.sid, key, self._hub.custody)
        if client is None or not self._is_good(client, asked.room):
            self._hub.instruments.auth_failures[Flaw.SESSION_KEY.value,] += 1
            raise RefusedError(Refusal(ErrorCode.UNAUTHORIZED, "no such session under this key"))
        wrong = Refusal(ErrorCode.FORBIDDEN, "the session is not in that room, or may not relay there")
        return _Asker(await self._turn_user(client, asked.room, wrong), b"session:" + client.sid.encode())

    async def _by_member(self, token: str | None, visitor: Visitor, asked: IceRequest) -> _Asker:
        """Whoever has a token of a user has what this user's members have; what they relay is counted with them."""
        grants = self._hub.admit(token, visitor)
        if isinstance(grants, Refusal):
            raise RefusedError(grants)
        if grants.user is None:
            raise RefusedError(Refusal(ErrorCode.UNAUTHORIZED, "a member is asked for by a token of its user"))
        if not grants.allow(Ability.ICE, asked.room):
            raise RefusedError(_NO_MEMBER)
        try:
            client = await self._relaying.client_of(grants.user, asked.room, asked.member)
        except EngineUnavailableError as error:
            raise RefusedError(unavailable(error)) from None
        if client is None or not self._is_good(client, asked.room):
            raise RefusedError(_NO_MEMBER)
        return _Asker(await self._turn_user(client, asked.room, _NO_MEMBER), b"user:" + grants.user.encode())

    async def _turn_user(self, client: Client, room: str, wrong: Refusal) -> str:
        membership = client.session.rooms.get(room)
        if membership is None or not await self._relaying.allows(client, membership):
            raise RefusedError(wrong)
        self._hub.fences.enclose(room)
        return membership.turn_user

    def _is_good(self, client: Client, room: str) -> bool:
        """Whether the tokens are that let it in. A session that was revoked may still be found where its node is gone,
        until another one takes it over and ends it."""
        now, revoked = self._hub.clock.now(), self._hub.revocations.cover
        own = client.grants_in(room)
        is_over = own.expires is not None and own.expires <= now.wall
        is_revoked = revoked(client.grants, now.wall) or revoked(own, now.wall)
        return client.is_authorized(now) and not is_over and not is_revoked


async def _viewed(sid: str, key: str, custody: Custody) -> Client | None:
    try:
        return await custody.view(sid, key)
    except EngineUnavailableError as error:
        raise RefusedError(unavailable(error)) from None


def _visitor(request: Request) -> Visitor:
    visitor: Visitor = request.scope[VISITOR]
    return visitor


def _ice_response(given: IceGrant, shape: IceFormat) -> Response:
    link = link_header(given)
    return JSONResponse(render(given, shape), headers=_NO_STORE | ({"Link": link} if link else {}))
