"""Other limits of bandwidth also count for what is alive."""

from fairlead.buckets import Rate
from turnd.protocol.allocations import Allocation
from turnd.protocol.effects import Effect, Limit
from turnd.protocol.state import State
from turnd.routes import Bandwidth

#: The least that fits into a bucket: the largest packet.
_LARGEST = 65536


def apply_bandwidth(state: State, before: Bandwidth) -> tuple[Effect, ...]:
    """Tells the engine the limits of the settings, which were others before."""
    if state.settings.bandwidth == before:
        return ()
    return tuple(_limit(state, allocation) for allocation in state.allocations.by_id.values())


def limit_allocation(state: State, allocation: Allocation, bandwidth: int | None) -> tuple[Effect, ...]:
    """Bounds one allocation further than the settings do, by bytes a second; None takes that back."""
    if bandwidth == allocation.bandwidth:
        return ()
    allocation.bandwidth = bandwidth
    return (_limit(state, allocation),)


def _limit(state: State, allocation: Allocation) -> Limit:
    bandwidth, own = state.settings.bandwidth, allocation.bandwidth
    general = bandwidth.allocation.per_second
    if own is not None and (not general or own < general):
        bandwidth = bandwidth._replace(allocation=Rate(own, max(own, _LARGEST)))
    return Limit(allocation.relay.id, allocation.account.user_id, bandwidth)
