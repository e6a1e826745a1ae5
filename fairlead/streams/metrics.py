"""What stream listeners count, the same for every daemon that has them."""

from collections.abc import Mapping

from fairlead.datagram import Transport
from fairlead.metrics import LabelSet, Metrics
from fairlead.streams.server import StreamServer


def declare_streams(metrics: Metrics, server: StreamServer) -> None:
    """Declares the families of a server's connections under the daemon's prefix."""

    def connections() -> Mapping[LabelSet, float]:
        counted = server.connections()
        return {(str(transport),): counted[transport] for transport in Transport if transport.is_stream}

    metrics.gauge("connections", "Stream connections, half-open ones included.", connections, ("transport",))
    metrics.gauge("half_open_connections", "Stream connections that have proved nothing yet.", lambda: server.half_open)
    text = "Connections that were closed for want of room, by the bound: as they came, half-open ones for a newer one."
    metrics.counter("connections_refused", text, lambda: server.refused, ("reason",))
    text = "Connections that passed a deadline."
    metrics.counter("connections_expired", text, lambda: server.expired)
    text = "TLS handshakes, by what became of them."
    metrics.counter("tls_handshakes", text, lambda: server.handshakes, ("result",))
