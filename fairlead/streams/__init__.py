"""Stream listeners, for every daemon whose clients come by TCP or TLS."""

from fairlead.streams.metrics import declare_streams
from fairlead.streams.server import StreamServer
from fairlead.streams.settings import StreamSettings
from fairlead.streams.stream import Stream, StreamHandler

__all__ = ["Stream", "StreamHandler", "StreamServer", "StreamSettings", "declare_streams"]
