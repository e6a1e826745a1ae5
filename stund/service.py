"""Where messages meet the responder: datagrams in a drain loop with a budget, streams as they are framed."""

import asyncio
from functools import partial

from fairlead.daemon import SystemClock
from fairlead.datagram import Address, Transport
from fairlead.log import SampledLog, get_logger
from fairlead.reasons import Reason
from fairlead.streams import Stream
from fairlead.stun.binding import Reply
from fairlead.stun.header import DecodeError
from fairlead.udp import UdpSocket
from stund.metrics import StundMetrics
from stund.responder import ResponderSettings, respond

#: Datagrams that one socket may take before timers and the other sockets get their turn.
_BUDGET = 64
#: One datagram of so many is timed.
_TIMED = 64


class Service:
    """Answers on any number of sockets and streams; remembers nothing of who asked."""

    def __init__(self, metrics: StundMetrics, clock: SystemClock, settings: ResponderSettings, idle: float) -> None:
        """`idle` is for how many seconds a connection stays open after its last request."""
        self.settings = settings
        self.idle = idle
        self._metrics = metrics
        self._clock = clock
        self._sampled = SampledLog(get_logger("stund"))
        self._until_timed = _TIMED

    def serve(self, sock: UdpSocket) -> None:
        asyncio.get_running_loop().add_reader(sock.fileno(), partial(self._drain, sock))

    def withdraw(self, sock: UdpSocket) -> None:
        asyncio.get_running_loop().remove_reader(sock.fileno())
        sock.close()

    def _drain(self, sock: UdpSocket) -> None:
        for _ in range(_BUDGET):
            try:
                received = sock.receive()
            except DecodeError as error:
                self._metrics.dropped(Transport.UDP, error.reason)
                continue
            if received is None:
                return
            self._until_timed -= 1
            if self._until_timed:
                self._answer(sock, *received)
            else:
                self._until_timed = _TIMED
                began = self._clock.monotonic()
                self._answer(sock, *received)
                self._metrics.service[Transport.UDP,].observe(self._clock.monotonic() - began)

    def _answer(self, sock: UdpSocket, data: bytes, source: Address, local: Address) -> None:
        # Port 0 can send, by forgery at least, and cannot be sent to.
        reply = respond(data, source, self.settings) if source.port else Reason.PORT_ZERO
        if isinstance(reply, Reason):
            self._metrics.dropped(Transport.UDP, reply)
            return
        self._account(Transport.UDP, source, data, reply, sock.send(reply.data, source, local))

    def _account(
        self, transport: Transport, source: Address, data: bytes, reply: Reply, failure: Reason | None
    ) -> None:
        if failure is None:
            self._metrics.answered(transport, source, data, reply)
        else:
            self._metrics.dropped(transport, failure)
            self._sampled.warning(self._clock.monotonic(), "reply not sent", source.host, reason=str(failure))

    # StreamHandler

    def message_received(self, stream: Stream, data: bytes) -> None:
        transport, source, _ = stream.five_tuple
        began = self._clock.monotonic()
        reply = respond(data, source, self.settings)
        if isinstance(reply, Reason):
            self._metrics.dropped(transport, reply)
            return
        self._account(transport, source, data, reply, stream.send(reply.data))
        self._metrics.service[transport,].observe(self._clock.monotonic() - began)
        stream.settle(self.idle)

    def stream_garbled(self, stream: Stream, reason: Reason) -> None:
        self._metrics.dropped(stream.five_tuple.transport, reason)

    def stream_closed(self, stream: Stream) -> None:
        """Nothing is kept of a stream."""
