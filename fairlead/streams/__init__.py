"""Stream listeners, for every daemon whose clients come by TCP or TLS."""

from fairlead.streams.server import HANDSHAKES, REFUSALS, StreamHandler, StreamServer
from fairlead.streams.settings import StreamSettings
from fairlead.streams.stream import Stream

__all__ = ["HANDSHAKES", "REFUSALS", "Stream", "StreamHandler", "StreamServer", "StreamSettings"]
