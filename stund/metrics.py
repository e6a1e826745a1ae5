"""What stund counts: plain totals that the packet path adds to."""

from fairlead.datagram import Address, Family, Transport
from fairlead.metrics import DURATIONS, Metrics
from fairlead.reasons import Reason
from fairlead.stun.binding import Reply
from fairlead.stun.header import COOKIE_BYTES

TRANSPORTS = (Transport.UDP, Transport.TCP, Transport.TLS)
_FAMILIES = {Family.IPV4: "ipv4", Family.IPV6: "ipv6"}
_MODERN, _CLASSIC = "rfc8489", "rfc3489"


class StundMetrics:
    """Requests, replies and drops; a request is a message that was answered."""

    def __init__(self, metrics: Metrics) -> None:
        by_transport = {"transport": TRANSPORTS}
        requests = {**by_transport, "family": _FAMILIES.values(), "kind": (_MODERN, _CLASSIC)}
        self._requests = metrics.counts("requests", "Requests that were answered.", requests)
        text = "Replies that the kernel took, by what they say."
        self._responses = metrics.counts("responses", text, {**by_transport, "code": ("success", "420")})
        text = "Messages that were not answered, by why."
        self._dropped = metrics.counts("dropped", text, {**by_transport, "reason": Reason})
        text = "Bytes of the requests that were answered."
        self._request_bytes = metrics.counts("request_bytes", text, by_transport)
        text = "Bytes of the replies; over those of the requests they are the amplification."
        self._response_bytes = metrics.counts("response_bytes", text, by_transport)
        text = "Seconds from a message to its reply; of UDP, one datagram of 64 is measured."
        self.service = metrics.histogram("service_seconds", text, DURATIONS, by_transport)

    def answered(self, transport: Transport, source: Address, request: bytes, reply: Reply) -> None:
        kind = _MODERN if request[4:8] == COOKIE_BYTES else _CLASSIC
        self._requests[transport, _FAMILIES[source.family], kind] += 1
        self._responses[transport, str(reply.code) if reply.code else "success"] += 1
        self._request_bytes[transport,] += len(request)
        self._response_bytes[transport,] += len(reply.data)

    def dropped(self, transport: Transport, reason: Reason) -> None:
        self._dropped[transport, reason] += 1
