"""Other limits of bandwidth also count for what is alive."""

from turnd.protocol.effects import Effect, Limit
from turnd.protocol.state import State
from turnd.routes import Bandwidth


def apply_bandwidth(state: State, before: Bandwidth) -> tuple[Effect, ...]:
    """Tells the engine the limits of the settings, which were others before."""
    bandwidth = state.settings.bandwidth
    if bandwidth == before:
        return ()
    living = state.allocations.by_id.values()
    return tuple(Limit(row.relay.id, row.account.user_id, bandwidth) for row in living)
