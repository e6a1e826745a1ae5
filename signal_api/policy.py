"""What the configuration comes down to: who is let in, from where, what they are given, and how much of it."""

from dataclasses import dataclass, field

from fairlead.buckets import Rate
from fairlead.config import Loaded, SettingError
from fairlead.link import FenceMode
from signal_api.api_keys import Keyring
from signal_api.config import JwtSettings, LimitSettings, PeerJsSettings, SignalApiSettings, TimeSettings
from signal_api.jwks import KeySource
from signal_api.origins import Entrance, parse_origin
from signal_api.protocol.authorization import Doorkeeper, TokenRules
from signal_api.relay.ice_servers import Issuer, Urls


@dataclass(frozen=True, slots=True)
class Policy:
    """One reading of the configuration; a reload replaces it as a whole."""

    doorkeeper: Doorkeeper
    entrance: Entrance
    issuer: Issuer
    public_host: str | None
    #: entrances that who is drained may try first
    alternatives: tuple[str, ...]
    fence: FenceMode
    limits: LimitSettings
    times: TimeSettings
    peerjs: PeerJsSettings
    keyring: Keyring
    keys: KeySource | None
    #: of one session, and of one frame: asked for with every frame, and slow to read from where they stand
    frame_rate: Rate = field(init=False)
    frame_bytes: int = field(init=False)
    #: of one source; the burst is what it may hold: an office comes back at once
    connect_rate: Rate = field(init=False)

    def __post_init__(self) -> None:
        rate = Rate(self.limits.frames_per_second, self.limits.frame_burst)
        object.__setattr__(self, "frame_rate", rate)
        object.__setattr__(self, "frame_bytes", self.limits.frame_bytes)
        connects = Rate(self.limits.connects_per_second, self.limits.sessions_per_source)
        object.__setattr__(self, "connect_rate", connects)

    @property
    def is_demo(self) -> bool:
        """Whether somebody at this machine needs no token."""
        return self.doorkeeper.open_locally

    @property
    def password_rate(self) -> Rate:
        return Rate(self.limits.passwords_per_minute / 60, self.limits.passwords_per_minute)

    @property
    def ice_rate(self) -> Rate:
        return Rate(self.limits.ice_per_minute / 60, self.limits.ice_per_minute)


def read_policy(loaded: Loaded[SignalApiSettings]) -> Policy:
    """Raises SettingError for a configuration with which nobody could come in, or nobody could relay."""
    shared, section = loaded.shared, loaded.section
    if section.jwt is None and section.join_key is None and not section.demo:
        wrong = "nobody could come in: no key is configured"
        raise SettingError((loaded.name, "jwt"), wrong, "set signal_api.jwt or join_key, or try it with: fairlead up")
    join_key = section.join_key.get_secret_value() if section.join_key is not None else None
    keys = _key_source(section.jwt) if section.jwt is not None else None
    rules = TokenRules(section.jwt.issuer, section.jwt.audience, keys) if section.jwt and keys is not None else None
    names = {*section.hosts, *([shared.public_host.lower()] if shared.public_host else [])}
    origins = {origin for text in section.origins if (origin := parse_origin(text))}
    return Policy(
        doorkeeper=Doorkeeper(rules, join_key, open_locally=section.demo),
        entrance=Entrance(frozenset(names), frozenset(origins)),
        issuer=_issuer(loaded),
        public_host=shared.public_host,
        alternatives=section.alternatives,
        fence=section.fence,
        limits=section.limits,
        times=section.times,
        peerjs=section.peerjs,
        keyring=Keyring(tuple(key.api_key() for key in section.api_keys)),
        keys=keys,
    )


def _key_source(jwt: JwtSettings) -> KeySource:
    return KeySource({key.id: key.verifying_key() for key in jwt.keys}, jwt.jwks)


def _issuer(loaded: Loaded[SignalApiSettings]) -> Issuer:
    auth, ice = loaded.shared.auth, loaded.section.ice
    if not auth.secrets:
        remedy = "set auth.secrets to what turnd has (openssl rand -base64 32 makes one), or try it with: fairlead up"
        raise SettingError(("auth", "secrets"), "no secret to make TURN credentials with", remedy)
    secure = ice.turns if loaded.shared.tls.certificate is not None else ()
    secret = auth.secrets[0].value.get_secret_value().encode()
    urls = Urls(ice.stun, (*ice.turn, *secure))
    return Issuer(secret, auth.credential_lifetime, urls, ice.region, auth.max_lifetime)
