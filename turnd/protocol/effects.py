"""What the core asks the shell to do, in this order. An effect that can fail is answered by an input:
OpenRelaySocket by Relay.relay_socket_opened or Relay.relay_socket_failed."""

import enum
from typing import NamedTuple

from fairlead.datagram import Address, FiveTuple, Via
from turnd.protocol.authentication import AuthFailure
from turnd.routes import Bandwidth, RelayId, Route


class Send(NamedTuple):
    """A reply (or Data indication) to a client, out of the listener or stream that its request came in by."""

    via: Via
    five_tuple: FiveTuple
    data: bytes


class OpenRelaySocket(NamedTuple):
    """Bind a relay socket; to be answered before the next input."""

    relay: RelayId
    address: Address


class AttachClient(NamedTuple):
    """From now on the relay socket belongs to this client."""

    relay: RelayId
    five_tuple: FiveTuple
    via: Via


class SetDeadline(NamedTuple):
    """From that moment on, in seconds of Now.monotonic, nothing passes the relay socket, closed or not."""

    relay: RelayId
    until: float


class Limit(NamedTuple):
    """From now on no more than this passes the relay socket, and all relay sockets of its user together."""

    relay: RelayId
    user: str
    bandwidth: Bandwidth


class CloseRelaySocket(NamedTuple):
    relay: RelayId


class SetRoute(NamedTuple):
    """`until` is in seconds of Now.monotonic."""

    route: Route
    until: float


class ClearRoute(NamedTuple):
    route: Route


class SendFromRelay(NamedTuple):
    """Application data of a Send indication that the engine handed up."""

    relay: RelayId
    peer: Address
    data: bytes
    dont_fragment: bool


class EndReason(enum.StrEnum):
    """Why an allocation ended."""

    CLIENT = "client"
    EXPIRED = "expired"
    DISCONNECTED = "disconnected"
    REVOKED = "revoked"
    #: It has relayed as much as it may.
    QUOTA = "quota"
    ADMIN = "admin"
    CREDENTIAL_EXPIRED = "credential_expired"
    SHUTDOWN = "shutdown"


class Allocated(NamedTuple):
    """Tells the world of a new allocation."""

    allocation: int
    username: str
    five_tuple: FiveTuple
    via: Via
    relayed: Address


class Ended(NamedTuple):
    """Tells the world that an allocation is gone; its usage is what closing its relay socket returned just before."""

    allocation: int
    username: str
    five_tuple: FiveTuple
    via: Via
    relay: RelayId
    reason: EndReason
    seconds: float


class Refused(NamedTuple):
    """Tells the world that an authenticated request was refused, and why."""

    method: int
    username: str
    five_tuple: FiveTuple
    code: int
    reason: str


class Challenged(NamedTuple):
    """Tells the world of a request whose credentials did not do, and why (a client's first request has none and is
    not told of). Anybody can cause it: whoever writes it down samples."""

    username: str
    five_tuple: FiveTuple
    failure: AuthFailure


Effect = (
    Send
    | OpenRelaySocket
    | AttachClient
    | SetDeadline
    | Limit
    | CloseRelaySocket
    | SetRoute
    | ClearRoute
    | SendFromRelay
    | Allocated
    | Ended
    | Refused
    | Challenged
)
