"""Settings models, and what pydantic does not answer about them: which keys are known at a place, which are secret."""

import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, model_validator

from fairlead.config.problems import Key
from fairlead.datagram import Address, parse_address


class Settings(BaseModel):
    """The base of every settings model: unknown keys are errors, values never change, errors never quote input."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _empty_section(cls, data: Any) -> Any:
        """A section whose keys are all commented out is null in YAML and means the defaults."""
        return {} if data is None else data


def _against_the_file(path: Path, info: ValidationInfo) -> Path:
    base: Path | None = (info.context or {}).get("base")
    return base / path if base is not None else path


#: A path; a relative one counts from the directory of the configuration file.
PathSetting = Annotated[Path, AfterValidator(_against_the_file)]


def _parses(text: str) -> str:
    parse_address(text)
    return text


#: `HOST:PORT` with an IP address; port 0 lets the system choose.
AddressSetting = Annotated[str, AfterValidator(_parses)]


#: what may stand behind the `?` of a URL of Redis: its client takes more, and with some of it speaks otherwise than we
#: expect
_REDIS_OPTIONS = ("db", "username", "password")
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")


def _is_of_redis(url: SecretStr) -> SecretStr:
    try:
        parts = urlsplit(url.get_secret_value())
        is_one = parts.scheme in ("redis", "rediss", "unix") and parts.port != 0 and not parts.fragment
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
    except ValueError:  # as of a port that is no number: what a password with a slash in it looks like
        is_one, options = False, {}
    if not is_one:
        form = "write redis://USER:PASSWORD@HOST:6379/0, rediss:// for TLS"
        raise ValueError(f"no URL of Redis; {form}; of USER and PASSWORD, what is no letter or digit as %XX")
    number = options.get("db", "0") if parts.scheme == "unix" else parts.path.strip("/") + options.get("db", "")
    if not re.fullmatch("[0-9]*", number, re.ASCII):
        raise ValueError("a database of Redis is a number; write redis://HOST:6379/0, or unix:///PATH?db=0")
    known = _REDIS_OPTIONS + (_TLS_OPTIONS if parts.scheme == "rediss" else ())
    if not options.keys() <= set(known):
        raise ValueError(f"an option that is not known behind {parts.scheme}://; those are {', '.join(known)}")
    if options.get("ssl_cert_reqs", "none") not in ("none", "optional", "required"):
        raise ValueError("ssl_cert_reqs is none, optional or required")
    return url


#: Where Redis or Valkey is: redis://, rediss:// (TLS) or unix://
RedisSetting = Annotated[SecretStr, AfterValidator(_is_of_redis)]


class DaemonSettings(Settings):
    """The keys that every daemon's section has."""

    ops: AddressSetting = "127.0.0.1:0"
    #: seconds from the signal to drain until the daemon stops with whatever is still open
    drain_deadline: float = Field(default=10.0, ge=0)

    @property
    def ops_address(self) -> Address:
        return parse_address(self.ops)


class Shape(NamedTuple):
    """What an annotation comes down to: a model, a list or mapping of an inner annotation, or a plain value."""

    model: type[BaseModel] | None = None
    items: Any = None
    is_secret: bool = False

    @property
    def is_plain(self) -> bool:
        return self.model is None and self.items is None


def shape(annotation: Any) -> Shape:
    """Looks through Annotated and Optional; of a union of models none is chosen."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return shape(arguments[0])
    if origin in (typing.Union, types.UnionType):
        inner = [argument for argument in arguments if argument is not type(None)]
        return shape(inner[0]) if len(inner) == 1 else Shape()
    if origin in (list, tuple, set, frozenset):
        return Shape(items=arguments[0])
    if origin is dict:
        return Shape(items=arguments[1])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return Shape(model=annotation)
    return Shape(is_secret=annotation is SecretStr)


def shape_at(model: type[BaseModel], key: Key) -> Shape | None:
    """The shape of the value at a key inside a model; None for a key that the model does not know."""
    found = Shape(model=model)
    for part in key:
        if found.model is not None:
            known = found.model.model_fields.get(str(part))
            if known is None:
                return None
            found = shape(known.annotation)
        elif found.items is not None:
            found = shape(found.items)
        else:
            return None
    return found


def known_keys(model: type[BaseModel]) -> Iterator[str]:
    """The keys that may be written in a model's section; a secret `x` may also be given as `x_file`."""
    for name, known in model.model_fields.items():
        yield name
        if shape(known.annotation).is_secret:
            yield f"{name}_file"
