"""Where messages meet the responder: datagrams in a drain loop with a budget, streams as they are framed."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Protocol

from fairlead.buckets import BucketTable, Rate
from fairlead.daemon import SystemClock
from fairlead.datagram import Address, Transport
from fairlead.log import SampledLog, get_logger
from fairlead.native import FaultLog
from fairlead.reasons import Reason
from fairlead.sources import source_prefix
from fairlead.streams import Stream
from fairlead.stun.binding import Reply, is_binding_request
from fairlead.stun.header import DecodeError
from fairlead.udp import Received, UdpSocket
from stund.metrics import StundMetrics, Totals
from stund.responder import ResponderSettings, respond

#: Datagrams that one socket may take before timers and the other sockets get their turn.
_BUDGET = 64
#: One datagram of so many is timed.
_TIMED = 64
_SECRET_BYTES = 32

_log = get_logger("stund")


class Rules(NamedTuple):
    """What a reload may change: the replies, how many requests a source may send over UDP, and for how many seconds a
    connection stays open after its last request."""

    responder: ResponderSettings
    rate: Rate
    idle: float


class Threads(Protocol):
    """The native engine (stund.native), as far as it is used here."""

    def fileno(self) -> int: ...
    def turn(self, most: int) -> Sequence[tuple[int, Received]]: ...
    def faults(self) -> Sequence[tuple[int, str]]: ...
    def listen(self, listener: int, sock: UdpSocket) -> None: ...
    def close_listener(self, listener: int) -> None: ...
    def answer(self, settings: ResponderSettings, rate: Rate) -> None: ...
    def totals(self) -> Totals: ...
    def close(self) -> None: ...


class Service:
    """Answers on any number of sockets and streams; remembers nothing of who asked but a step in a table of buckets."""

    def __init__(
        self, metrics: StundMetrics, clock: SystemClock, rules: Rules, buckets: int, native: Threads | None
    ) -> None:
        """`buckets` is how many sources are told apart, `native` the engine where it runs."""
        self._metrics = metrics
        self._clock = clock
        self._sources = BucketTable(buckets, clock.entropy(_SECRET_BYTES))
        self._sampled = SampledLog(_log)
        self._faults = FaultLog(_log)
        self._until_timed = _TIMED
        self._native = native
        #: Sockets that the engine reads, by the numbers that it knows them by.
        self._read_by_engine: dict[int, UdpSocket] = {}
        self.change(rules)
        if native is not None:
            asyncio.get_running_loop().add_reader(native.fileno(), self._take, native)

    def change(self, rules: Rules) -> None:
        """Answers by these from now on."""
        self._rules = rules
        if self._native is not None:
            self._native.answer(rules.responder, rules.rate)

    def serve(self, sock: UdpSocket) -> None:
        """Reads a socket from now on; raises OSError where the engine cannot."""
        if self._native is None:
            asyncio.get_running_loop().add_reader(sock.fileno(), partial(self._drain, sock))
        else:
            self._native.listen(sock.fileno(), sock)
            self._read_by_engine[sock.fileno()] = sock

    def withdraw(self, sock: UdpSocket) -> None:
        if self._native is None:
            asyncio.get_running_loop().remove_reader(sock.fileno())
        else:
            self._native.close_listener(sock.fileno())
            del self._read_by_engine[sock.fileno()]
        sock.close()

    def close(self) -> None:
        """To be called when no socket is served any more."""
        if self._native is not None:
            asyncio.get_running_loop().remove_reader(self._native.fileno())
            self._native.close()

    def _take(self, native: Threads) -> None:
        """What the engine does not answer by itself; its sources have been asked for their tokens."""
        for thread, text in native.faults():
            self._faults.write(thread, text, self._clock.monotonic())
        for listener, (data, source, local) in native.turn(_BUDGET):
            sock = self._read_by_engine.get(listener)
            if sock is not None:
                self._answer(sock, data, source, local)

    def _drain(self, sock: UdpSocket) -> None:
        for _ in range(_BUDGET):
            try:
                received = sock.receive()
            except DecodeError as error:
                self._metrics.dropped(Transport.UDP, error.reason)
                continue
            if received is None:
                return
            if self._is_too_much(received):
                self._metrics.dropped(Transport.UDP, Reason.RATE_LIMITED)
                continue
            self._until_timed -= 1
            if self._until_timed:
                self._answer(sock, *received)
            else:
                self._until_timed = _TIMED
                began = self._clock.monotonic()
                self._answer(sock, *received)
                self._metrics.service[Transport.UDP,].observe(self._clock.monotonic() - began)

    def _is_too_much(self, received: Received) -> bool:
        rate = self._rules.rate
        if not rate.per_second or not is_binding_request(received.data):
            return False
        return self._sources.take(source_prefix(received.source.host), rate, self._clock.monotonic()) > 0

    def _answer(self, sock: UdpSocket, data: bytes, source: Address, local: Address) -> None:
        # Port 0 can send, by forgery at least, and cannot be sent to.
        reply = respond(data, source, self._rules.responder) if source.port else Reason.PORT_ZERO
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
        reply = respond(data, source, self._rules.responder)
        if isinstance(reply, Reason):
            self._metrics.dropped(transport, reply)
            return
        self._account(transport, source, data, reply, stream.send(reply.data))
        self._metrics.service[transport,].observe(self._clock.monotonic() - began)
        stream.settle(self._rules.idle)

    def stream_garbled(self, stream: Stream, reason: Reason) -> None:
        self._metrics.dropped(stream.five_tuple.transport, reason)

    def stream_closed(self, stream: Stream) -> None:
        """Nothing is kept of a stream."""
