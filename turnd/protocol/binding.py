"""Binding on a TURN listener: answered as stund would (RFC 8489 section 12)."""

from fairlead.clock import Now
from fairlead.datagram import Datagram
from fairlead.reasons import Reason
from fairlead.stun.binding import BindingSettings, answer_binding
from fairlead.stun.message import Message
from turnd.protocol.effects import Effect, Send
from turnd.protocol.outcome import drop
from turnd.protocol.state import State

_SMALLEST = BindingSettings()


def binding(state: State, datagram: Datagram, message: Message, now: Now) -> tuple[Effect, ...]:
    """The reflexive address and nothing else."""
    five_tuple = datagram.five_tuple
    reply = answer_binding(message, five_tuple.client, _SMALLEST)
    if isinstance(reply, Reason):
        return drop(state, reply)
    state.counters.count_reply(message.method, five_tuple.transport, reply.code or None)
    return (Send(datagram.via, five_tuple, reply.data),)
