"""How things end: allocations by any cause, permissions, channels and reservations by their time.

The mirror is cleared first, then the port goes back, and there it is held back for longer than any mirror lags:
a late packet never reaches the next owner of a port. The quota is free at once, so that who reconnects may; how many
ports of one user may rest has a bound of its own.
"""

from fairlead.clock import Now
from turnd.protocol.allocations import Allocation, AllocationDue, Due, PermissionDue, ReservationDue
from turnd.protocol.effects import ClearRoute, CloseRelaySocket, Effect, Ended, EndReason, SetDeadline
from turnd.protocol.settings import Expiry
from turnd.protocol.state import State


def end(state: State, allocation: Allocation, reason: EndReason, now: Now) -> tuple[Effect, ...]:
    """Ends an allocation; closing its relay socket withdraws its routes with it."""
    state.allocations.remove(allocation)
    state.quotas.release(allocation.claim)
    state.ports[allocation.family].release(allocation.relay.address.port, allocation.account.user_id, now)
    state.counters.allocations_ended[reason] += 1
    age = now.monotonic - allocation.created
    return (
        CloseRelaySocket(allocation.relay.id),
        Ended(
            allocation.id,
            allocation.account.username,
            allocation.five_tuple,
            allocation.via,
            allocation.relay.id,
            reason,
            age,
        ),
    )


def end_reservations(state: State, user_id: str, now: Now) -> tuple[Effect, ...]:
    """Ends what a user id has reserved."""
    tokens = [row.token for row in state.allocations.reservations.values() if row.user_id == user_id]
    return tuple(effect for token in tokens for effect in _end_reservation(state, token, now))


def cut(state: State, now: Now) -> tuple[Effect, ...]:
    """Where allocations end with their credentials from now on, those that live do too: they were made to live longer.
    The ones whose time has passed end with the next expire()."""
    effects: list[Effect] = []
    for allocation in state.allocations.by_id.values() if state.settings.expiry is Expiry.CUT else ():
        expires = allocation.account.expires
        if expires is not None and now.monotonic + expires - now.wall < allocation.expires:
            state.allocations.extend(allocation, now.monotonic + max(0.0, expires - now.wall))
            effects.append(SetDeadline(allocation.relay.id, allocation.expires))
    return tuple(effects)


def expire(state: State, now: Now) -> tuple[Effect, ...]:
    """Ends all whose time has come."""
    effects: list[Effect] = []
    while (due := state.allocations.deadlines.pop_due(now.monotonic)) is not None:
        effects += _end_due(state, due, now)
    return tuple(effects)


def _end_due(state: State, due: Due, now: Now) -> tuple[Effect, ...]:
    if isinstance(due, ReservationDue):
        return _end_reservation(state, due.token, now)
    allocation = state.allocations.by_id[due.id]
    if isinstance(due, AllocationDue):
        is_cut = state.settings.expiry is Expiry.CUT and allocation.account.has_expired(now)
        return end(state, allocation, EndReason.CREDENTIAL_EXPIRED if is_cut else EndReason.EXPIRED, now)
    if isinstance(due, PermissionDue):
        return (ClearRoute(state.allocations.forbid(allocation, due.host)),)
    return (ClearRoute(state.allocations.unbind(allocation, due.number)),)


def _end_reservation(state: State, token: bytes, now: Now) -> tuple[Effect, ...]:
    reservation = state.allocations.unreserve(token)
    state.quotas.release(reservation.claim)
    relay = reservation.relay
    state.ports[relay.address.family].release(relay.address.port, reservation.user_id, now)
    return (CloseRelaySocket(relay.id),)
