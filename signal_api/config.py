"""The section `signal_api` of the configuration."""

import ipaddress
import re
from collections import Counter
from typing import Annotated, Literal
from urllib.parse import urlsplit

import httpx
from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from fairlead.config import AddressSetting, DaemonSettings, PathSetting, RedisSetting, Settings
from fairlead.link import FenceMode
from fairlead.listeners import Listener, parse_listener
from signal_api.api_keys import ApiKey, Scope, digest_of
from signal_api.origins import parse_origin
from signal_api.protocol.authorization import VerifyingKey
from signal_api.webhooks import EVENTS, Endpoint, signing_key

_URI = re.compile(
    r"[a-z]+:(\{host\}|\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?(\?transport=(udp|tcp))?", re.ASCII
)


def _listen(text: str) -> str:
    parse_listener(f"tcp://{text}")
    return text


def _origin(text: str) -> str:
    if parse_origin(text) is None:
        raise ValueError(f"{text!r} is no origin; write https://HOST, or http://HOST:PORT, without a path or a star")
    return text


def _key(secret: SecretStr) -> SecretStr:
    """It travels in a header and behind the # of a link."""
    text = secret.get_secret_value()
    if len(text) < 16 or not re.fullmatch(r"[\x20-\x7e]+", text) or text != text.strip():
        raise ValueError("a join key is 16 printable ASCII characters or more; openssl rand -hex 16 makes one")
    return secret


def _http_url(text: str) -> str:
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"{text!r} is no address to send to; write https://HOST/PATH")
    return text


def _webhook_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    try:
        key = signing_key(text)
    except ValueError:
        raise ValueError("what follows whsec_ is not base64; openssl rand -base64 32 makes some") from None
    if len(key) < 16:
        raise ValueError("a secret of webhooks is worth 16 bytes or more; openssl rand -hex 32 makes one")
    return secret


def _host_name(text: str) -> str:
    if not text or any(sign in text for sign in "/:@* "):
        raise ValueError(f"{text!r} is no host name; write the name alone, without scheme and port")
    return text.lower()


def _uri(*schemes: str) -> AfterValidator:
    """RFC 7064 and RFC 7065, with {host} where the host stands."""

    def check(text: str) -> str:
        if text.partition(":")[0] not in schemes or not _URI.fullmatch(text):
            raise ValueError(f"{text!r} is no URI of this kind; write {schemes[0]}:{{host}}:PORT")
        return text

    return AfterValidator(check)


def _network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(f"{text!r} is no IP address or network; write 192.0.2.1 or 192.0.2.0/24") from None
    return text


class JwtKeySettings(Settings):
    """A key that tokens are checked with; tokens name it in their header, as `kid`."""

    id: str = Field(min_length=1, max_length=128)
    #: the one algorithm that is accepted for this key
    algorithm: Literal["HS256", "HS384", "HS512", "RS256", "PS256", "ES256", "ES384", "EdDSA"]
    #: the shared secret, or the public key in PEM
    key: SecretStr

    @model_validator(mode="after")
    def _fits(self) -> "JwtKeySettings":
        self.verifying_key()
        return self

    def verifying_key(self) -> VerifyingKey:
        return VerifyingKey.read(self.id, self.algorithm, self.key.get_secret_value())


def _key_set_url(text: str) -> str:
    """What is fetched decides who is let in, so nobody on the way may change it."""
    parts = urlsplit(text)
    is_near = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
    if not parts.hostname or not (parts.scheme == "https" or is_near):
        raise ValueError(f"{text!r} is no https:// address; http:// is for this machine alone")
    return text


class JwksSettings(Settings):
    """Where an identity provider publishes its keys (RFC 7517)."""

    url: Annotated[str, AfterValidator(_key_set_url)] | None = None
    file: PathSetting | None = None
    #: seconds between two fetches
    refresh: float = Field(default=300, ge=10)
    #: those that are accepted; each key is for one of them
    algorithms: tuple[Literal["RS256", "PS256", "ES256", "ES384", "EdDSA"], ...] = Field(
        default=("RS256", "ES256", "EdDSA"), min_length=1
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> "JwksSettings":
        if (self.url is None) == (self.file is None):
            raise ValueError("give url, or file, and not both")
        return self

    @property
    def where(self) -> str:
        """For logs: without what may be a secret in a query, or in front of the host."""
        if self.url is None:
            return str(self.file)
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


class JwtSettings(Settings):
    """Which JSON Web Tokens let a client in."""

    #: the claim `iss` of every token
    issuer: str = Field(min_length=1)
    #: must be among the claim `aud`
    audience: str = "signal"
    keys: tuple[JwtKeySettings, ...] = ()
    #: keys that are published elsewhere, beside those above
    jwks: JwksSettings | None = None

    @model_validator(mode="after")
    def _some_key(self) -> "JwtSettings":
        if not self.keys and self.jwks is None:
            raise ValueError("no keys, so no token could be accepted; set keys or jwks, or leave out the whole of jwt")
        return self

    @field_validator("keys")
    @classmethod
    def _ids_differ(cls, keys: tuple[JwtKeySettings, ...]) -> tuple[JwtKeySettings, ...]:
        twice = [key for key, times in Counter(key.id for key in keys).items() if times > 1]
        if twice:
            raise ValueError(f"the id {twice[0]!r} stands twice; give each key its own")
        return keys


def _api_key(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if len(text) < 24 or not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ValueError("an API key is 24 printable ASCII characters or more; openssl rand -hex 24 makes one")
    return secret


class ApiKeySettings(Settings):
    """A key of a back end: itself, or the SHA-256 of it, and what it is good for."""

    name: str = Field(pattern=r"^[a-z0-9_-]{1,32}$")
    value: Annotated[SecretStr, AfterValidator(_api_key)] | None = None
    #: SHA-256 of the key in hexadecimal digits, for a configuration that others may read
    hash: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    scopes: tuple[Scope, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_of_both(self) -> "ApiKeySettings":
        if (self.value is None) == (self.hash is None):
            raise ValueError("give value (or value_file), or hash, and not both")
        return self

    def api_key(self) -> ApiKey:
        digest = bytes.fromhex(self.hash or "") or digest_of(self.value.get_secret_value() if self.value else "")
        return ApiKey(self.name, digest, frozenset(self.scopes))


class IceSettings(Settings):
    """The servers that clients are told; {host} is public_host, or the name under which the client came."""

    stun: tuple[Annotated[str, _uri("stun", "stuns")], ...] = ("stun:{host}:3479",)
    turn: tuple[Annotated[str, _uri("turn")], ...] = (
        "turn:{host}:3478?transport=udp",
        "turn:{host}:3478?transport=tcp",
    )
    #: told only where tls.certificate is set
    turns: tuple[Annotated[str, _uri("turns")], ...] = ("turns:{host}:5349?transport=tcp",)
    #: named in replies, for clients that choose
    region: str | None = None


class WebhookSettings(Settings):
    """A back end that is told what happens."""

    url: Annotated[str, AfterValidator(_http_url)]
    #: what signs the events; `whsec_` before base64 is read as the bytes behind it
    secret: Annotated[SecretStr, AfterValidator(_webhook_secret)]
    #: the events that are sent there; none: all
    events: tuple[Literal[EVENTS], ...] = ()  # type: ignore[valid-type]  # the one list of them

    def endpoint(self) -> Endpoint:
        return Endpoint(self.url, signing_key(self.secret.get_secret_value()), frozenset(self.events))


class LimitSettings(Settings):
    """What one client, one user, one source and all together may use."""

    frames_per_second: float = Field(default=50, gt=0)
    frame_burst: int = Field(default=200, ge=1)
    frame_bytes: int = Field(default=65536, ge=1024, le=1048576)
    #: waiting for one connection; beyond it the connection is closed and may resume
    queue_frames: int = Field(default=256, ge=1)
    queue_bytes: int = Field(default=1048576, ge=65536)
    rooms_per_session: int = Field(default=8, ge=1)
    members_per_room: int = Field(default=100, ge=2)
    sessions: int = Field(default=50000, ge=1)
    sessions_per_user: int = Field(default=10, ge=1)
    #: a source is an IPv4 address or an IPv6 /64
    sessions_per_source: int = Field(default=200, ge=1)
    connects_per_second: float = Field(default=20, gt=0)
    #: open HTTP connections; a WebSocket counts until it is accepted
    connections_per_source: int = Field(default=1000, ge=1)
    ice_per_minute: float = Field(default=30, gt=0)
    #: wrong passwords of rooms, of one user or source
    passwords_per_minute: float = Field(default=5, gt=0)


class TimeSettings(Settings):
    """Seconds."""

    #: for the line and the headers of a request
    head_timeout: float = Field(default=10, gt=0)
    #: for the rest of a request
    body_timeout: float = Field(default=30, gt=0)
    hello_timeout: float = Field(default=10, gt=0)
    ping_interval: float = Field(default=25, gt=0)
    #: after a ping, without any frame
    ping_timeout: float = Field(default=10, gt=0)
    #: from the loss of a connection until the rooms are told
    presence_grace: float = Field(default=10, ge=0)
    #: from the loss of a connection until the session is forgotten
    session_linger: float = Field(default=120, ge=0)
    #: that a kick keeps a user out of the room, and at least as long as its token lives
    kick: float = Field(default=3600, ge=0)


def _path(text: str) -> str:
    if not re.fullmatch(r"/(?:[A-Za-z0-9._~-]+/)*", text):
        raise ValueError(f"{text!r} is no path of pages; write it as they do in `path`: / or /myapp/")
    return text


def _peerjs_key(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text) or text == "v1":
        raise ValueError(f"{text!r} is no key of pages; write up to 64 letters, digits, - and _, and not v1")
    return text


class PeerJsSettings(Settings):
    """The gateway for clients of PeerJS."""

    #: the option `path` of the pages
    path: Annotated[str, AfterValidator(_path)] = "/"
    #: the options `key` of the pages: peers of one key find each other; without any there is no gateway
    keys: tuple[Annotated[str, AfterValidator(_peerjs_key)], ...] = ("peerjs",)
    #: lets in whoever names a key, without a token
    open: bool = False
    #: tells whoever names a key who is there
    discovery: bool = False
    #: of one key, at once
    peers: int = Field(default=1000, ge=2)


class EngineSettings(Settings):
    """Where rooms and sessions are kept."""

    kind: Literal["memory", "redis"] = "memory"
    #: of Redis or Valkey: redis://, rediss:// (TLS) or unix://
    url: RedisSetting | None = None
    #: what the names of all keys begin with
    prefix: str = Field(default="fairlead", pattern=r"^[A-Za-z0-9._-]{1,64}$")

    @model_validator(mode="after")
    def _has_url(self) -> "EngineSettings":
        if self.kind == "redis" and self.url is None:
            raise ValueError("redis is chosen and url is not set; write redis://HOST:6379/0 there, or into url_file")
        return self


class SignalApiSettings(DaemonSettings):
    """Signaling and ICE credentials."""

    #: HOST:PORT, `*` for every address of the machine
    listen: Annotated[str, AfterValidator(_listen)] = "*:8080"
    ops: AddressSetting = "127.0.0.1:9480"
    #: names under which this service is reached, besides public_host and its addresses
    hosts: tuple[Annotated[str, AfterValidator(_host_name)], ...] = ()
    #: pages of other sites that may connect
    origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = ()
    #: other entrances to this service, which clients are told when this one drains; a list of all will do for all
    alternatives: tuple[Annotated[str, AfterValidator(_origin)], ...] = Field(default=(), max_length=16)
    #: addresses and networks of reverse proxies whose X-Forwarded-For and -Proto are believed
    trusted_proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    jwt: JwtSettings | None = None
    #: whoever has this key may join any room and relay
    join_key: Annotated[SecretStr, AfterValidator(_key)] | None = None
    #: back ends that may use /v1/admin
    api_keys: tuple[ApiKeySettings, ...] = ()
    #: lets whoever sits at this machine in without a token
    demo: bool = False
    engine: EngineSettings = EngineSettings()
    #: processes, each with an ops port of its own: that of `ops`, the next, and so on
    workers: int = Field(default=1, ge=1, le=64)
    ice: IceSettings = IceSettings()
    peerjs: PeerJsSettings = PeerJsSettings()
    #: whether members may relay only to what their room has announced; needs the link to turnd
    fence: FenceMode = FenceMode.OFF
    #: where events are sent
    webhooks: tuple[WebhookSettings, ...] = ()
    limits: LimitSettings = LimitSettings()
    times: TimeSettings = TimeSettings()

    @field_validator("api_keys")
    @classmethod
    def _names_differ(cls, keys: tuple[ApiKeySettings, ...]) -> tuple[ApiKeySettings, ...]:
        twice = [name for name, times in Counter(key.name for key in keys).items() if times > 1]
        if twice:
            raise ValueError(f"the name {twice[0]!r} stands twice; give each key its own")
        return keys

    @model_validator(mode="after")
    def _workers_share(self) -> "SignalApiSettings":
        if self.workers > 1 and self.engine.kind == "memory":
            raise ValueError("several workers cannot share rooms in memory; set engine.kind to redis, or workers to 1")
        return self

    @property
    def listener(self) -> Listener:
        return parse_listener(f"tcp://{self.listen}")
