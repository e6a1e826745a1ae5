"""What a handler ends in, and what follows from it for the client, the counters and the operator."""

from typing import TypeAlias

from fairlead.reasons import Reason
from turnd.protocol.effects import Effect, Refused, Send
from turnd.protocol.replies import Refusal, Request, refused
from turnd.protocol.state import State

Outcome: TypeAlias = tuple[Effect, ...] | Refusal


def conclude(state: State, request: Request, outcome: Outcome) -> tuple[Effect, ...]:
    """The effects of an authenticated request: its own, or the signed error and the word to the operator."""
    five_tuple = request.datagram.five_tuple
    method = request.message.method
    if isinstance(outcome, Refusal):
        state.counters.count_reply(method, five_tuple.transport, outcome.code)
        told = Refused(method, request.account.username, five_tuple, outcome.code, outcome.reason)
        return (refused(request, outcome), told)
    if Send in map(type, outcome):
        state.counters.count_reply(method, five_tuple.transport, None)
    return outcome


def drop(state: State, reason: Reason) -> tuple[Effect, ...]:
    """Silence, counted."""
    state.counters.dropped[reason] += 1
    return ()
