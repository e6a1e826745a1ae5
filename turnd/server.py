"""turnd's loop: the only room that sees both the core and the engine.

What the engine and the streams hand up goes into the core; the effects that come back are carried out here, in their
order.
"""

import asyncio
import errno
from collections.abc import Callable, Iterable
from typing import Any

from fairlead.clock import Now
from fairlead.datagram import Datagram, FiveTuple, Via
from fairlead.reasons import Reason
from fairlead.streams import Stream, StreamServer, StreamSettings
from turnd.dataplane.contract import Answer, DataPlane, Fault, HandUp, StreamData, Usage
from turnd.protocol import effects as do
from turnd.protocol.effects import Effect
from turnd.protocol.relay import Relay

#: Answers that wait for each other, so that clients are told with few calls; many would wait long.
ANSWERS_AT_ONCE = 32

#: What is told to whoever watches: the log, and the link to signal_api.
Event = do.Allocated | do.Ended | do.Refused | do.Challenged | Fault
Watcher = Callable[[Event, Usage | None], None]


class TurnServer:
    """Joins a core, an engine and streams in one event loop; `clock` reads the time for the core."""

    def __init__(
        self, relay: Relay, engine: DataPlane, stream_settings: StreamSettings, clock: Callable[[], Now]
    ) -> None:
        self.relay = relay
        self.engine = engine
        self.streams = StreamServer(self, stream_settings)
        self.watchers: list[Watcher] = []
        self.clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for: float | None = None
        self._usage: Usage | None = None
        self._answers: list[Answer] = []
        self._carry_out: dict[type[Any], Callable[[Any], None]] = {
            do.Send: self._send,
            do.OpenRelaySocket: self._open_relay_socket,
            do.AttachClient: lambda effect: engine.set_client(*effect),
            do.SetDeadline: lambda effect: engine.set_deadline(*effect),
            do.Limit: lambda effect: engine.limit(*effect),
            do.CloseRelaySocket: self._close_relay_socket,
            do.SetRoute: lambda effect: engine.set_route(*effect),
            do.ClearRoute: lambda effect: engine.clear_route(effect.route),
            do.SendFromRelay: lambda effect: engine.send_from_relay(*effect),
            do.Allocated: self._allocated,
            do.Ended: self._ended,
            do.Refused: lambda effect: self._tell(effect, None),
            do.Challenged: lambda effect: self._tell(effect, None),
        }

    def start(self) -> None:
        """Begins to serve; listeners may be opened before and after."""
        asyncio.get_running_loop().add_reader(self.engine.fileno(), self._engine_is_ready)

    def stop(self) -> None:
        """Ends every allocation and gives the sockets back."""
        asyncio.get_running_loop().remove_reader(self.engine.fileno())
        self.execute(self.relay.end(self.relay.state.allocations.by_id.values(), do.EndReason.SHUTDOWN, self.clock()))
        if self._timer is not None:
            self._timer.cancel()
        self.streams.close()
        self.engine.close()

    def execute(self, effects: Iterable[Effect]) -> None:
        """Carries effects out in their order, those that they lead to included, and sets the timer anew. Answers to UDP
        clients come last: what they promise is true then."""
        self._carry_out_all(effects)
        self._answer()
        self._arm_timer()

    def _carry_out_all(self, effects: Iterable[Effect]) -> None:
        carry_out = self._carry_out
        for effect in effects:
            carry_out[type(effect)](effect)

    # For the streams

    def message_received(self, stream: Stream, data: bytes) -> None:
        """One framed message: the engine forwards it, or the core takes it."""
        self._take(self.engine.deliver(Datagram(data, stream.five_tuple, stream.via)))

    def stream_garbled(self, stream: Stream, reason: Reason) -> None:
        self.relay.state.counters.dropped[reason] += 1

    def stream_closed(self, stream: Stream) -> None:
        self.execute(self.relay.disconnected(stream.five_tuple, self.clock()))

    # From the engine

    def _engine_is_ready(self) -> None:
        for fault in self.engine.faults():
            self._tell(fault, None)
        self._take(self.engine.turn())

    def _take(self, handed_up: Iterable[HandUp]) -> None:
        """What came in together is of one moment, and sets the timer once."""
        now, faults = self.clock(), list[Exception]()
        for item in handed_up:
            try:
                if isinstance(item, StreamData):
                    self._write(item.via, Stream.send, item.data)
                else:
                    self._carry_out_all(self.relay.receive(item, now))
            except Exception as fault:
                # A mistake of ours over the message of one client: those behind it are others'.
                faults.append(fault)
        self._answer()
        self._arm_timer()
        if faults:
            raise faults[0] if len(faults) == 1 else ExceptionGroup("several messages of clients", faults)

    def _write(self, via: Via, write: Callable[[Stream, bytes], Reason | None], data: bytes) -> None:
        stream = self.streams.find(via)
        reason = Reason.UNREACHABLE if stream is None else write(stream, data)
        if reason is not None:
            self.relay.state.counters.dropped[reason] += 1

    # Time

    def _arm_timer(self) -> None:
        """One timer, at the core's next deadline."""
        deadline = self.relay.deadline()
        if deadline == self._armed_for:
            return
        self._armed_for = deadline
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            delay = max(0.0, deadline - self.clock().monotonic)
            self._timer = asyncio.get_running_loop().call_later(delay, self._expire)

    def _expire(self) -> None:
        self._armed_for = None
        self.execute(self.relay.expire(self.clock()))

    # Effects

    def _send(self, effect: do.Send) -> None:
        if effect.five_tuple.transport.is_stream:
            self._write(effect.via, Stream.reply, effect.data)
        else:
            self._answers.append(effect)
            if len(self._answers) >= ANSWERS_AT_ONCE:
                self._answer()

    def _answer(self) -> None:
        if self._answers:
            answers, self._answers = self._answers, []
            self.engine.send(answers)

    def _open_relay_socket(self, effect: do.OpenRelaySocket) -> None:
        """The answer goes into the core at once: before the next message, as the core wants it."""
        try:
            self.engine.open_relay(effect.relay, effect.address)
        except OSError as error:
            is_taken, problem = error.errno == errno.EADDRINUSE, error.strerror or str(error)
            answer = self.relay.relay_socket_failed(effect.relay, is_taken, problem)
        else:
            answer = self.relay.relay_socket_opened(effect.relay)
        self._carry_out_all(answer)

    def _close_relay_socket(self, effect: do.CloseRelaySocket) -> None:
        self._usage = self.engine.close_relay(effect.relay)

    def _allocated(self, effect: do.Allocated) -> None:
        self._settle(effect.five_tuple, effect.via, None)
        self._tell(effect, None)

    def _ended(self, effect: do.Ended) -> None:
        """Comes right behind the CloseRelaySocket of its relay socket, whose usage it takes."""
        self._settle(effect.five_tuple, effect.via, self.streams.settings.deadline)
        self._tell(effect, self._usage)

    def _settle(self, five_tuple: FiveTuple, via: Via, seconds: float | None) -> None:
        """A stream with an allocation may stay; one without has to make one in time."""
        stream = self.streams.find(via) if five_tuple.transport.is_stream else None
        if stream is not None:
            stream.settle(seconds)

    def _tell(self, event: Event, usage: Usage | None) -> None:
        for watcher in self.watchers:
            watcher(event, usage)
