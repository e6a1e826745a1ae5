"""The link between turnd and signal_api on one machine: typed lines over a Unix socket."""

from fairlead.link.client import LinkClient
from fairlead.link.messages import (
    Allocated,
    Budget,
    Command,
    Draining,
    End,
    EndBy,
    Ended,
    Event,
    Fence,
    FenceMode,
    LinkError,
    Refused,
    Revoke,
    RevokeBy,
    Traffic,
    Usage,
)
from fairlead.link.server import LinkServer

__all__ = [
    "Allocated",
    "Budget",
    "Command",
    "Draining",
    "End",
    "EndBy",
    "Ended",
    "Event",
    "Fence",
    "FenceMode",
    "LinkClient",
    "LinkError",
    "LinkServer",
    "Refused",
    "Revoke",
    "RevokeBy",
    "Traffic",
    "Usage",
]
