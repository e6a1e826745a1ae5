"""What became of peer connections, as clients report it from getStats, and why in a sentence: their word joined with
what turnd saw."""

import enum
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Annotated

import msgspec

from signal_api.protocol.messages import Name
from signal_api.relay.sightings import Relay, Sighting

#: memberships whose reports are kept, and reports of one
_MEMBERSHIPS, EACH = 20_000, 16


class Result(enum.StrEnum):
    CONNECTED = "connected"
    FAILED = "failed"
    LOST = "lost"  # it was connected before


class Path(enum.StrEnum):
    """The kind of the local candidate of the pair that was chosen (RFC 8445 section 5.1.1)."""

    HOST = "host"
    REFLEXIVE = "srflx"
    PEER_REFLEXIVE = "prflx"
    RELAY = "relay"
    NONE = "none"


class Protocol(enum.StrEnum):
    """How the client speaks to its relay, or without one to its peer."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"
    NONE = "none"


class Report(msgspec.Struct, frozen=True):
    """The data of a `report` frame: the outcome of one peer connection. `peer` is a member, `connect_ms` the time
    until it was connected, or until that was given up; `detail` is for people."""

    outcome: Result
    peer: Name | None = None
    path: Path = Path.NONE
    protocol: Protocol = Protocol.NONE
    connect_ms: Annotated[int, msgspec.Meta(ge=0, le=3_600_000)] | None = None
    detail: Annotated[str, msgspec.Meta(max_length=256)] = ""


class Reports:
    """The last reports of the memberships that reported last, by their TURN user id."""

    def __init__(self, memberships: int = _MEMBERSHIPS) -> None:
        self._limit = memberships
        self._told: OrderedDict[str, deque[Report]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._told)

    def note(self, turn_user: str, report: Report) -> None:
        told = self._told.get(turn_user)
        if told is None:
            if len(self._told) >= self._limit:
                self._told.popitem(last=False)
            told = self._told[turn_user] = deque(maxlen=EACH)
        self._told.move_to_end(turn_user)
        told.append(report)

    def of(self, turn_user: str) -> Sequence[Report]:
        """The oldest first."""
        return tuple(self._told.get(turn_user, ()))


def explain(report: Report, sighting: Sighting | None, is_linked: bool) -> str:
    """Why a connection became what it became, as well as both ends know: one sentence for a person."""
    if report.outcome is Result.CONNECTED:
        took = f" after {report.connect_ms} ms" if report.connect_ms is not None else ""
        way = f"through the relay over {report.protocol}" if report.path is Path.RELAY else "without the relay"
        return f"it was connected {way}{took}"
    verb = "was lost" if report.outcome is Result.LOST else "failed"
    if not is_linked:
        return f"it {verb}, and turnd cannot be heard: set link on both daemons to know more"
    relays = sighting.relays if sighting is not None else ()
    if not relays:
        return f"it {verb}: {_without_relay(sighting)}"
    return f"it {verb}: {_with_relay(relays, sighting)}"


def _without_relay(sighting: Sighting | None) -> str:
    refused = [row for row in sighting.rejections if row.method == "allocate"] if sighting is not None else []
    if refused:
        return f"turnd refused to relay ({refused[-1].code}, {refused[-1].reason})"
    return "turnd never heard of this client; its network blocks the way to turnd, or it was not given the servers"


def _with_relay(relays: Sequence[Relay], sighting: Sighting | None) -> str:
    last = relays[-1]
    sent = sum(relay.traffic.packets_to_peer for relay in relays)
    received = sum(relay.traffic.packets_to_client for relay in relays)
    refused = [row for row in sighting.rejections if row.method != "allocate"] if sighting is not None else []
    if last.ended in _TAKEN:
        return _TAKEN[last.ended]
    if sent and received:
        return "packets went through the relay in both directions, so look at what the two ends made of them"
    if sent:
        return "what it sent left the relay and nothing came back: the other side cannot be reached from there"
    if received:
        return "packets of the other side reached it through the relay, and it sent none"
    if refused:
        return f"turnd refused its peers ({refused[-1].code}, {refused[-1].reason})"
    return f"the relay at {last.relayed} stood, and neither side sent anything through it"


_TAKEN = {
    "revoked": "its relay was taken away, since its membership or its token had ended",
    "admin": "its relay was ended by an operator",
    "quota": "its relay was ended, since its budget was used up",
    "shutdown": "turnd stopped",
    "credential_expired": "its credential had expired and was not renewed",
}
