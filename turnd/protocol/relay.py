"""The relay: which handler takes which message, and the other inputs that the shell has for it.

Every input returns its effects, to be carried out in their order. There is no hidden queue.
"""

from collections.abc import Callable, Iterable, Mapping

from fairlead.clock import Now
from fairlead.datagram import Datagram, FiveTuple
from fairlead.reasons import Reason
from fairlead.stun.header import Class, DecodeError, Method
from fairlead.stun.message import Message, decode
from turnd.protocol import allocate, endings
from turnd.protocol.admission import authenticated, on_allocation
from turnd.protocol.allocations import Allocation
from turnd.protocol.binding import binding
from turnd.protocol.channel_bind import channel_bind
from turnd.protocol.create_permission import create_permission
from turnd.protocol.effects import Effect, EndReason
from turnd.protocol.outcome import drop
from turnd.protocol.refresh import refresh
from turnd.protocol.send import send
from turnd.protocol.state import State
from turnd.routes import RelayId, Route

Effects = tuple[Effect, ...]
Handler = Callable[[State, Datagram, Message, Now], Effects]

#: Who takes what. What is not here is dropped and counted, never answered.
HANDLERS: Mapping[tuple[Class, int], Handler] = {
    (Class.REQUEST, Method.BINDING): binding,
    (Class.REQUEST, Method.ALLOCATE): authenticated(allocate.allocate),
    (Class.REQUEST, Method.REFRESH): authenticated(on_allocation(refresh)),
    (Class.REQUEST, Method.CREATE_PERMISSION): authenticated(on_allocation(create_permission)),
    (Class.REQUEST, Method.CHANNEL_BIND): authenticated(on_allocation(channel_bind)),
    (Class.INDICATION, Method.SEND): send,
}


class Relay:
    """One TURN server without its sockets (RFC 8656)."""

    def __init__(self, state: State) -> None:
        self.state = state

    def receive(self, datagram: Datagram, now: Now) -> Effects:
        """A message of a client that the engine did not forward by itself."""
        effects = self.expire(now)
        try:
            message = decode(datagram.data)
        except DecodeError as error:
            return effects + drop(self.state, error.reason)
        handler = HANDLERS.get((message.message_class, message.method))
        if handler is None:
            is_request = message.message_class is Class.REQUEST
            return effects + drop(self.state, Reason.UNKNOWN_METHOD if is_request else Reason.NOT_A_REQUEST)
        return effects + handler(self.state, datagram, message, now)

    def relay_socket_opened(self, relay: RelayId) -> Effects:
        """Answers OpenRelaySocket: it is bound."""
        return allocate.relay_socket_opened(self.state, relay)

    def relay_socket_failed(self, relay: RelayId, in_use: bool, problem: str = "") -> Effects:
        """Answers OpenRelaySocket: it could not be bound; `in_use` when another program has the port, `problem` is what
        the system says."""
        return allocate.relay_socket_failed(self.state, relay, in_use, problem)

    def disconnected(self, five_tuple: FiveTuple, now: Now) -> Effects:
        """The connection of a stream client is gone, and its allocation with it: its 5-tuple will not come back."""
        allocation = self.state.allocations.by_five_tuple.get(five_tuple)
        return () if allocation is None else endings.end(self.state, allocation, EndReason.DISCONNECTED, now)

    def end(self, doomed: Iterable[Allocation], reason: EndReason, now: Now) -> Effects:
        """Ends these allocations."""
        ending = list(doomed)
        return tuple(effect for allocation in ending for effect in endings.end(self.state, allocation, reason, now))

    def revoke(self, user: str, until: float, now: Now) -> Effects:
        """Refuses a user name or user id until a wall-clock moment, and ends what it has."""
        self.state.authenticator.revoke(user, until)
        revoked = self.end(self.state.allocations.of_name(user), EndReason.REVOKED, now)
        return revoked + endings.end_reservations(self.state, user, now)

    def revoke_expiring(self, user_id: str, expires: float, now: Now, parting: bool = False) -> Effects:
        """Refuses the credentials of a user id that expire up to a wall-clock moment, and ends what lives by them;
        `parting` when whoever had them went by itself."""
        self.state.authenticator.revoke_expiring(user_id, expires, parting)

        def is_meant(allocation: Allocation) -> bool:
            account = allocation.account
            return account.user_id == user_id and account.expires is not None and account.expires <= expires

        doomed = filter(is_meant, self.state.allocations.of_name(user_id))
        return self.end(doomed, EndReason.REVOKED, now) + endings.end_reservations(self.state, user_id, now)

    def expire(self, now: Now) -> Effects:
        """Ends what has come to its time; to be called at deadline() at the latest."""
        return endings.expire(self.state, now)

    def deadline(self) -> float | None:
        """When something ends by itself, in monotonic seconds; None while nothing will."""
        return self.state.allocations.deadlines.next()

    def active_routes(self, now: Now) -> frozenset[Route]:
        """What every engine has to hold at this moment."""
        return self.state.allocations.routes(now.monotonic)
