"""The keys that all daemons share."""

import ipaddress
import re
from collections import Counter
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr, field_validator, model_validator

from fairlead.config.schema import PathSetting, RedisSetting, Settings

#: The sections of the file, by the daemon that reads them.
SECTIONS = ("stund", "turnd", "signal_api")


class LogSettings(Settings):
    """How and what is logged, to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    #: auto: console on a terminal, JSON elsewhere
    format: Literal["auto", "json", "console"] = "auto"
    #: cut the last octet of IPv4 addresses and the last 80 bits of IPv6 addresses
    mask_addresses: bool = False


#: Seconds, thirty years: what ends later is no date to many.
_LONGEST = 1_000_000_000


class NamedSecret(Settings):
    """A secret that time-limited credentials are made with; the name is a metric label."""

    name: str = Field(pattern=r"^[a-z0-9_-]{1,32}$")
    value: SecretStr = Field(min_length=1)


class User(Settings):
    """A user with a password of its own."""

    name: str = Field(min_length=1, max_length=508)
    password: SecretStr = Field(min_length=1)


class AuthSettings(Settings):
    """Who may relay."""

    realm: str = Field(default="fairlead", min_length=1, max_length=127)
    secrets: tuple[NamedSecret, ...] = ()
    users: tuple[User, ...] = ()
    #: seconds that a credential lives that we issue
    credential_lifetime: int = Field(default=3600, ge=1, le=_LONGEST)
    #: seconds that turnd lets a credential have left at most; 0 is no limit
    max_lifetime: int = Field(default=172800, ge=0, le=_LONGEST)
    #: shared by daemons that answer under one name; without it each start has its own
    nonce_key: SecretStr | None = Field(default=None, min_length=16)

    @field_validator("secrets", "users")
    @classmethod
    def _names_differ(cls, rows: tuple[NamedSecret | User, ...]) -> tuple[NamedSecret | User, ...]:
        twice = [name for name, times in Counter(row.name for row in rows).items() if times > 1]
        if twice:
            raise ValueError(f"the name {twice[0]!r} stands twice; give each its own name")
        return rows

    @model_validator(mode="after")
    def _ours_are_taken(self) -> "AuthSettings":
        if 0 < self.max_lifetime < self.credential_lifetime:
            ours, most = self.credential_lifetime, self.max_lifetime
            raise ValueError(
                f"credential_lifetime is {ours} s, and turnd would refuse such credentials for max_lifetime, {most} s; "
                "lower the one or raise the other"
            )
        return self


class TlsSettings(Settings):
    """The certificate chain and its key, in PEM files; without them nothing listens for TLS."""

    certificate: PathSetting | None = None
    key: PathSetting | None = None

    @model_validator(mode="after")
    def _both_or_none(self) -> "TlsSettings":
        if (self.certificate is None) != (self.key is None):
            given, missing = ("key", "certificate") if self.certificate is None else ("certificate", "key")
            raise ValueError(f"{given} is set and {missing} is not; set both, or none for no TLS")
        return self


class LinkSettings(Settings):
    """What joins turnd and signal_api: a Unix socket on one machine, Redis beyond it."""

    socket: PathSetting | None = None
    #: of Redis or Valkey: redis://, rediss:// (TLS) or unix://
    redis: RedisSetting | None = None
    #: what the names of its streams in Redis begin with
    prefix: str = Field(default="fairlead", pattern=r"^[A-Za-z0-9._-]{1,64}$")

    @model_validator(mode="after")
    def _is_one(self) -> "LinkSettings":
        if self.socket is not None and self.redis is not None:
            raise ValueError("socket and redis are both set; keep the socket where both daemons are on one machine")
        return self


_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")


def _is_public_host(text: str) -> str:
    """A DNS name or an IP address, since it is put into URIs as it is."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        labels = text.removesuffix(".").split(".")
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"{text!r} is no host name; write the bare name or address, as in turn.example.org")
    return text


class SharedSettings(Settings):
    """Everything outside the daemons' sections."""

    log: LogSettings = LogSettings()
    auth: AuthSettings = AuthSettings()
    tls: TlsSettings = TlsSettings()
    link: LinkSettings = LinkSettings()
    #: the name or address that clients are told, without scheme and port
    public_host: Annotated[str, AfterValidator(_is_public_host)] | None = None
