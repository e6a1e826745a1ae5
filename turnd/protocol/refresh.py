"""Refresh (RFC 8656 section 8)."""

from fairlead.stun.attributes import LIFETIME, REQUESTED_ADDRESS_FAMILY
from turnd.protocol.allocations import Allocation
from turnd.protocol.effects import EndReason, SetDeadline
from turnd.protocol.endings import end
from turnd.protocol.lifetimes import granted_lifetime
from turnd.protocol.outcome import Outcome
from turnd.protocol.replies import Refusal, Request, success
from turnd.protocol.state import State


def refresh(state: State, request: Request, allocation: Allocation) -> Outcome:
    """The steps of RFC 8656 section 8.2, after authentication and the look-up of the allocation."""
    # REQUESTED-ADDRESS-FAMILY, where given, is the allocation's own.
    family = request.message.first(REQUESTED_ADDRESS_FAMILY)
    if family is not None and family != allocation.family:
        return Refusal(443, "the allocation is of the other address family")

    # A lifetime of 0 deletes it, at once.
    requested = request.message.first(LIFETIME)
    if requested == 0:
        return (*end(state, allocation, EndReason.CLIENT, request.now), success(request, ((LIFETIME, 0),)))

    # Otherwise it lives on from now, in the engine too.
    lifetime = granted_lifetime(state.settings, requested, allocation.account, request.now)
    state.allocations.extend(allocation, request.now.monotonic + lifetime)
    deadline = SetDeadline(allocation.relay.id, allocation.expires)
    return (deadline, success(request, ((LIFETIME, lifetime),)))
