"""The link between turnd and signal_api: typed messages, over a Unix socket on one machine, through Redis beyond it."""

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
from fairlead.link.remote import Remote, RemoteLinkClient, RemoteLinkServer
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
    "Remote",
    "RemoteLinkClient",
    "RemoteLinkServer",
    "Revoke",
    "RevokeBy",
    "Traffic",
    "Usage",
]
