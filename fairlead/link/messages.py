"""What turnd and signal_api tell each other: commands one way, events the other, one JSON object a line.

Each object is tagged by `type`. Addresses are HOST:PORT texts. All commands may be repeated without harm. The number of
an allocation is its own for good: another turnd, and the same one after a restart, gives others.
"""

import enum
from typing import TypeAlias

import msgspec

#: Both ends must speak the same, and who changes a message below raises it. What a message says more than is known
#: here is refused: `expiring` bounds a revocation, and who left it out would revoke what is still good.
VERSION = 2

#: The longest line in bytes, its end included.
LONGEST_LINE = 65536


class LinkError(Exception):
    """The other end broke the protocol; the text says how. The connection is closed."""


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="type"):
    pass


class Hello(_Message, frozen=True, tag="hello"):
    """The first line of each end: its version of the protocol, and which daemon it is."""

    version: int
    daemon: str

    def refusal(self) -> str | None:
        """Why nothing else that this end says would be understood; None when it would be."""
        if self.version == VERSION:
            return None
        return f"{self.daemon} speaks version {self.version}, we speak {VERSION}; run the same release"


class RevokeBy(enum.StrEnum):
    """What a revocation names."""

    #: one credential, the whole user name of it
    USERNAME = "username"
    #: every credential of a user id (the part of the user name behind the expiry)
    USER = "user"


class Revoke(_Message, frozen=True, tag="revoke", omit_defaults=True):
    """These credentials are dead, and their allocations end."""

    by: RevokeBy
    value: str
    #: for the log, a few words
    reason: str = ""
    #: of a user id, only the credentials that expire up to this Unix time: those that it is given later are good
    expiring: int | None = None
    #: whoever had them went by itself: where too many are known, these are forgotten before any other
    parting: bool = False


class EndBy(enum.StrEnum):
    """What an order to end allocations names."""

    ALLOCATION = "allocation"
    USERNAME = "username"
    #: the hash that stands before the dot in `<expiry>:<room hash>.<session>.<membership>`
    ROOM = "room"


class End(_Message, frozen=True, tag="end"):
    """End these allocations; their credentials stay good."""

    by: EndBy
    value: str
    #: for the log, a few words
    reason: str = ""


class Budget(_Message, frozen=True, tag="budget"):
    """An allocation, which must be of this user name, ends when it has relayed so many bytes of application data since
    its beginning, and relays no more than so many a second, both directions together; None is no limit. Replaces what
    was said before."""

    allocation: int
    username: str
    bytes: int | None = None
    bandwidth: int | None = None


class FenceMode(enum.StrEnum):
    OFF = "off"
    LOG = "log"
    ENFORCE = "enforce"


class Fence(_Message, frozen=True, tag="fence"):
    """Hosts that the members of a room, named by its hash, may be permitted to reach, beside those that were said
    before; OFF forgets them all."""

    room: str
    mode: FenceMode
    hosts: tuple[str, ...] = ()


class Allocated(_Message, frozen=True, tag="allocated"):
    """An allocation lives. All living ones are told to whoever connects."""

    allocation: int
    username: str
    transport: str
    client: str
    relayed: str


class Refused(_Message, frozen=True, tag="refused"):
    """A request of an authenticated user was refused."""

    username: str
    client: str
    method: str
    code: int
    reason: str


class Traffic(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Application data that an allocation has relayed since it began."""

    packets_to_peer: int = 0
    bytes_to_peer: int = 0
    packets_to_client: int = 0
    bytes_to_client: int = 0


class Usage(_Message, frozen=True, tag="usage"):
    """What a living allocation has relayed so far; a later one makes this one needless."""

    allocation: int
    username: str
    traffic: Traffic


class Ended(_Message, frozen=True, tag="ended"):
    """An allocation is gone."""

    allocation: int
    username: str
    reason: str
    seconds: float
    traffic: Traffic


class Draining(_Message, frozen=True, tag="draining"):
    """turnd takes no new allocations and stops in `seconds` at the latest. `hosts` and `ports` are where clients reach
    it, as far as it knows."""

    seconds: float
    hosts: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()


Command: TypeAlias = Revoke | End | Fence | Budget
Event: TypeAlias = Allocated | Refused | Usage | Ended | Draining
Message: TypeAlias = Hello | Command | Event

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def encode(message: Message) -> bytes:
    """One line, its end included; JSON escapes line ends inside of texts."""
    return _encoder.encode(message) + b"\n"


def decode(line: bytes) -> Message:
    """Reads one line; raises LinkError."""
    try:
        return _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LinkError(f"no message of this protocol: {error}") from None
