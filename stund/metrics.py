"""What stund counts: plain totals that the packet path adds to."""

from collections.abc import Callable
from typing import NamedTuple

from fairlead.datagram import Address, Family, Transport
from fairlead.metrics import DURATIONS, Counts, Labels, Metrics
from fairlead.reasons import Reason
from fairlead.stun.binding import Reply
from fairlead.stun.header import COOKIE_BYTES

TRANSPORTS = (Transport.UDP, Transport.TCP, Transport.TLS)
_FAMILIES = {Family.IPV4: "ipv4", Family.IPV6: "ipv6"}
_MODERN, _CLASSIC = "rfc8489", "rfc3489"


class Answered(NamedTuple):
    """So many requests of this size got an answer of that size."""

    family: Family
    request: int
    reply: int
    times: int


class Totals(NamedTuple):
    """What the threads have done since they began."""

    answered: tuple[Answered, ...]
    dropped: dict[Reason, int]
    panics: int


class StundMetrics:
    """Requests, replies and drops; a request is a message that was answered."""

    def __init__(self, metrics: Metrics, native: Callable[[], Totals] | None = None) -> None:
        """`native` tells what the native engine has done, where it runs."""
        self._native = native
        self._folded: Totals | None = None
        by_transport = {"transport": TRANSPORTS}
        requests = {**by_transport, "family": _FAMILIES.values(), "kind": (_MODERN, _CLASSIC)}
        self._requests = self._declare(metrics, "requests", "Requests that were answered.", requests)
        text = "Replies that the kernel took, by what they say."
        self._responses = self._declare(metrics, "responses", text, {**by_transport, "code": ("success", "420")})
        text = "Messages that were not answered, by why."
        self._dropped = self._declare(metrics, "dropped", text, {**by_transport, "reason": Reason})
        text = "Bytes of the requests that were answered."
        self._request_bytes = self._declare(metrics, "request_bytes", text, by_transport)
        text = "Bytes of the replies; over those of the requests they are the amplification."
        self._response_bytes = self._declare(metrics, "response_bytes", text, by_transport)
        text = "Seconds from a message to its reply; of UDP, one datagram of 64 that Python answers is measured."
        self.service = metrics.histogram("service_seconds", text, DURATIONS, by_transport)
        name = "python" if native is None else "native"
        text = "1 for the engine that answers over UDP."
        metrics.gauge("datapath", text, lambda: {(name,): 1.0}, ("datapath",))
        text = "Faults inside a thread of the engine, each of which cost a batch of packets; any is a bug to report."
        metrics.counter("engine_panics", text, lambda: {(name,): self.panics()}, ("datapath",))

    def panics(self) -> int:
        """Faults inside the engine so far."""
        return self._native().panics if self._native is not None else 0

    def _declare(self, metrics: Metrics, name: str, text: str, labels: Labels) -> Counts:
        """Totals that the native engine adds to when they are read."""
        counts = Counts(labels)

        def read() -> Counts:
            self._fold()
            return counts

        metrics.counter(name, text, read, counts.labels)
        return counts

    def _fold(self) -> None:
        """Adds what the native engine has done since the last time."""
        if self._native is None:
            return
        totals, before = self._native(), self._folded
        self._folded = totals
        for place, (family, request, reply, times) in enumerate(totals.answered):
            more = times - (before.answered[place].times if before else 0)
            self._requests[Transport.UDP, _FAMILIES[family], _MODERN] += more
            self._responses[Transport.UDP, "success"] += more
            self._request_bytes[Transport.UDP,] += more * request
            self._response_bytes[Transport.UDP,] += more * reply
        for reason, count in totals.dropped.items():
            self._dropped[Transport.UDP, reason] += count - (before.dropped[reason] if before else 0)

    def answered(self, transport: Transport, source: Address, request: bytes, reply: Reply) -> None:
        kind = _MODERN if request[4:8] == COOKIE_BYTES else _CLASSIC
        self._requests[transport, _FAMILIES[source.family], kind] += 1
        self._responses[transport, str(reply.code) if reply.code else "success"] += 1
        self._request_bytes[transport,] += len(request)
        self._response_bytes[transport,] += len(reply.data)

    def dropped(self, transport: Transport, reason: Reason) -> None:
        self._dropped[transport, reason] += 1
