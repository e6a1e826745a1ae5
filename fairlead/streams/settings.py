"""The bounds of stream connections."""

from pydantic import Field

from fairlead.config import Settings


class StreamSettings(Settings):
    """How many connections there may be, and how long they may say nothing of worth.

    A connection is half-open from accept until its owner settles it: at the first valid message, or only at the
    first authenticated one.
    """

    connections: int = Field(default=4096, ge=1)
    connections_per_source: int = Field(default=512, ge=1)
    half_open: int = Field(default=256, ge=1)
    half_open_per_source: int = Field(default=32, ge=1)
    #: seconds from accept within which a connection must be settled, TLS handshake included
    deadline: float = Field(default=10.0, gt=0)
    #: bytes that may wait for a slow reader; what comes on top is dropped, but replies of turnd have as much again
    write_buffer: int = Field(default=262144, ge=4096)
