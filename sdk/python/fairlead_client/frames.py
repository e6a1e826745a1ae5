"""The envelope of sig.v1, as far as this client reads it. What it does not know it passes on."""

import json
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


class SignalingError(Exception):
    """The server refused a frame, or ended the session. `code` is stable, for programs; `retry_after` in seconds."""

    def __init__(self, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.retry_after = retry_after


def read_json(text: str | bytes) -> Any:
    """JSON as the server lets it pass: its numbers have any length."""
    return json.loads(text, parse_int=_number)


def _number(digits: str) -> float:
    return int(digits) if len(digits) < 20 else float(digits)


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


#: what a member says of itself in fields of its own
_OWN = ("id", "order", "user", "meta")


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
        other = {name: value for name, value in raw.items() if name not in _OWN}
        return cls(raw["id"], raw["order"], raw.get("user"), raw.get("meta"), other)

    def update(self, raw: Json) -> None:
        """What `member.updated` says of it: what has changed."""
        self.meta = raw.get("meta", self.meta)
        self.other |= {name: value for name, value in raw.items() if name not in _OWN}
