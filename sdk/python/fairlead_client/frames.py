"""The envelope of sig.v1, as far as this client reads it. What it does not know it passes on."""

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


class SignalingError(Exception):
    """The server refused a frame, or ended the session. `code` is stable, for programs; `retry_after` in seconds."""

    def __init__(self, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of the server; `sender` is the member id of who sent it, None where that is the server."""

    type: str
    room: str | None = None
    sender: str | None = None
    data: Any = None
    seq: int | None = None
    re: str | None = None

    @classmethod
    def read(cls, raw: Json) -> "Frame":
        names = ("room", "from", "data", "seq", "re")
        return cls(raw["type"], *(raw.get(name) for name in names))


@dataclass(slots=True)
class Member:
    """A member of a room; of two, the one with the larger `order` makes the first offer."""

    id: str
    order: int
    user: str | None = None
    meta: Any = None
    other: Json = field(default_factory=dict)

    @classmethod
    def read(cls, raw: Json) -> "Member":
        known = ("id", "order", "user", "meta")
        other = {name: value for name, value in raw.items() if name not in known}
        return cls(raw["id"], raw["order"], raw.get("user"), raw.get("meta"), other)
