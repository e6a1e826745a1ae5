"""The gate before every handler but Binding: authentication, unknown attributes, the allocation of the 5-tuple
(RFC 8489 sections 9.2.4 and 6.3.1, RFC 8656 section 5).

Up to the moment that a request is authenticated nothing is remembered of it but a step in tables of a fixed size.
"""

from collections.abc import Callable
from typing import Any

from fairlead.clock import Now
from fairlead.datagram import Address, Datagram
from fairlead.reasons import Reason
from fairlead.sources import source_prefix
from fairlead.stun import attributes as stun
from fairlead.stun.attributes import Attribute
from fairlead.stun.header import Class, Method
from fairlead.stun.message import Message
from turnd.protocol.allocations import Allocation
from turnd.protocol.authentication import Account, Challenge, check
from turnd.protocol.effects import AttachClient, Challenged, Effect
from turnd.protocol.outcome import Outcome, conclude, drop
from turnd.protocol.replies import Refusal, Request, error_values, reply, unknown_attributes
from turnd.protocol.settings import Expiry
from turnd.protocol.state import State
from turnd.protocol.understood import UNDERSTOOD

Handler = Callable[[State, Datagram, Message, Now], tuple[Effect, ...]]
RequestHandler = Callable[[State, Request], Outcome]
AllocationHandler = Callable[[State, Request, Allocation], Outcome]


def authenticated(handle: RequestHandler) -> Handler:
    """A handler for requests that prove who sends them; all others are challenged, or met with silence."""

    def gate(state: State, datagram: Datagram, message: Message, now: Now) -> tuple[Effect, ...]:
        verdict = _authenticate(state, datagram, message, now)
        if isinstance(verdict, Challenge):
            return _challenge(state, datagram, message, verdict, now)
        if verdict.secret_name is not None:
            state.counters.secret_matches[verdict.secret_name] += 1
        request = Request(message, datagram, verdict, now)
        return conclude(state, request, _handle(state, request, handle))

    return gate


def on_allocation(handle: AllocationHandler) -> RequestHandler:
    """A handler for requests that concern the allocation of their 5-tuple, which its own user sends."""

    def find(state: State, request: Request) -> Outcome:
        allocation = state.allocations.by_five_tuple.get(request.datagram.five_tuple)
        if allocation is None:
            return Refusal(437, "this 5-tuple has no allocation")
        if allocation.account.username != request.account.username:
            return Refusal(441, "the allocation belongs to another user name")
        if allocation.account.realm != request.account.realm:
            # The realm was renamed, and its user has made the key of the new one: that is the allocation's from now on.
            allocation.account = request.account
        return _follow(request, allocation, handle(state, request, allocation))

    return find


def _follow(request: Request, allocation: Allocation, outcome: Outcome) -> Outcome:
    """Where a client comes in by another way than before, the engine is told: its listener has gone and come back."""
    via = request.datagram.via
    if isinstance(outcome, Refusal) or via == allocation.via:
        return outcome
    allocation.via = via
    return (AttachClient(allocation.relay.id, allocation.five_tuple, via), *outcome)


def _handle(state: State, request: Request, handle: RequestHandler) -> Outcome:
    unknown = request.message.unknown(UNDERSTOOD)
    if unknown:
        return unknown_attributes(unknown)
    try:
        return handle(state, request)
    except stun.AttributeValueError as error:
        return Refusal(400, str(error))


def _authenticate(state: State, datagram: Datagram, message: Message, now: Now) -> Account | Challenge:
    allocation = state.allocations.by_five_tuple.get(datagram.five_tuple)
    known = None
    if allocation is not None and _key_is_enough(state.settings.expiry, allocation.account, message.method, now):
        known = allocation.account
    return check(message, datagram.five_tuple.client, state.authenticator, state.nonces, known, now)


def _key_is_enough(expiry: Expiry, account: Account, method: int, now: Now) -> bool:
    """Whether a living allocation is asked by the key that it was made with, whatever became of the credential."""
    if expiry is Expiry.CUT:
        return not account.has_expired(now)
    return expiry is Expiry.ALLOCATE or method != Method.REFRESH


def _challenge(
    state: State, datagram: Datagram, message: Message, challenge: Challenge, now: Now
) -> tuple[Effect, ...]:
    """The unsigned error that asks for better credentials, as long as its source has not had too many of them."""
    client = datagram.five_tuple.client
    counters = state.counters
    counters.auth_failures[challenge.failure] += 1
    if not _may_be_answered(state, client, challenge, now):
        counters.challenges_suppressed += 1
        return drop(state, Reason.RATE_LIMITED)
    counters.challenges_sent += 1
    counters.count_reply(message.method, datagram.five_tuple.transport, challenge.code)
    better: tuple[tuple[Attribute[Any], Any], ...] = ()
    if challenge.code != 400:
        better = ((stun.REALM, state.settings.realm), (stun.NONCE, state.nonces.mint(client, now)))
    answer = reply(datagram, message, Class.ERROR, error_values(Refusal(challenge.code, challenge.failure, better)))
    if challenge.username is None:
        return (answer,)
    return (answer, Challenged(challenge.username, datagram.five_tuple, challenge.failure))


def _may_be_answered(state: State, client: Address, challenge: Challenge, now: Now) -> bool:
    """Wrong credentials are limited by user name first, so that who guesses does not use up what a whole office has;
    then, as everything unauthenticated, by source, so that names made up one after the other earn no more replies."""
    prefix, settings = source_prefix(client.host), state.settings
    name = challenge.username if challenge.code == 401 else None
    if name is not None and state.failures.take(prefix + name.encode(), settings.failure_rate, now.monotonic):
        return False
    return not state.challenges.take(prefix, settings.challenge_rate, now.monotonic)
