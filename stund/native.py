"""The native engine in front of stund: threads answer what needs no thought, and hand up the rest."""

from fairlead.buckets import Rate
from fairlead.datagram import Address, Family
from fairlead.native._engine import REASONS, Engine
from fairlead.reasons import Reason
from fairlead.stun.binding import LEAST
from fairlead.udp import Received, UdpSocket
from stund.metrics import Answered, Totals
from stund.responder import ResponderSettings

_REASONS = tuple(map(Reason, REASONS))
#: Family, bytes of the request, bytes of the answer: in the order in which the extension counts.
_ANSWERS = ((Family.IPV4, 20, 32), (Family.IPV4, 28, 40), (Family.IPV6, 20, 44), (Family.IPV6, 28, 52))


class NativeListeners:
    """Reads UDP sockets in threads. What stund.responder has to answer comes up by turn()."""

    def __init__(self, buckets: int) -> None:
        """`buckets` is how many sources of requests are told apart."""
        # No indication leaves a STUN server, so that the seed of their transaction ids is no secret.
        self._engine = Engine([], ((0, 0), (0, 0)), by_ring=False, threads=1, seed=b"", stun_only=True, buckets=buckets)
        self._last: Totals | None = None

    def fileno(self) -> int:
        return self._engine.fileno()

    def turn(self, most: int) -> list[tuple[int, Received]]:
        """Datagrams with the numbers of their listeners."""
        handed_up = []
        for listener, _, five_tuple, data in self._engine.take(most):
            if five_tuple is not None:
                _, source, local = five_tuple
                handed_up.append((listener, Received(data, Address(*source), Address(*local))))
        return handed_up

    def faults(self) -> list[tuple[int, str]]:
        """Threads that have panicked since this was last asked, and over what; to be asked before turn()."""
        return self._engine.take_faults()

    def listen(self, listener: int, sock: UdpSocket) -> None:
        """Reads a socket from now on; replies to what it hands up leave by the socket itself."""
        self._engine.adopt_listener(listener, sock.fileno())

    def close_listener(self, listener: int) -> None:
        """Reads it no more."""
        self._engine.close_listener(listener)

    def answer(self, settings: ResponderSettings, rate: Rate) -> None:
        """How requests are answered from now on, and how many each source may send."""
        self._engine.set_answering(settings.binding == LEAST, settings.classic, *rate)

    def totals(self) -> Totals:
        """Also when it is closed: then, what had been done by then."""
        return self._last or self._read_totals()

    def _read_totals(self) -> Totals:
        _, dropped, panics, bindings, _, _ = self._engine.totals()
        answered = tuple(Answered(*row, count) for row, count in zip(_ANSWERS, bindings, strict=True))
        return Totals(answered, dict(zip(_REASONS, dropped, strict=True)), panics)

    def close(self) -> None:
        if self._last is None:
            self._last = self._read_totals()
            self._engine.close()
