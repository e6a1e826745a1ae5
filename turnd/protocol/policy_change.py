"""A new peer policy also counts for what the old one allowed: routes that it denies are withdrawn."""

from fairlead.clock import Now
from turnd.protocol.allocations import Allocation
from turnd.protocol.effects import ClearRoute, Effect, SetRoute
from turnd.protocol.peer_policy import PeerPolicy
from turnd.protocol.state import State
from turnd.routes import Permission


def change_policy(state: State, policy: PeerPolicy, now: Now) -> tuple[Effect, ...]:
    """Takes the policy over and judges every living permission and channel anew."""
    state.policy = policy
    effects: list[Effect] = []
    for allocation in state.allocations.by_id.values():
        effects += _judge_channels(state, allocation)
        effects += _judge_permissions(state, allocation, now)
    return tuple(effects)


def _judge_channels(state: State, allocation: Allocation) -> list[Effect]:
    denied = [
        number
        for number, channel in allocation.channels.items()
        if not state.policy.judge(channel.peer.host, channel.peer.port).allowed
    ]
    return [ClearRoute(state.allocations.unbind(allocation, number)) for number in denied]


def _judge_permissions(state: State, allocation: Allocation, now: Now) -> list[Effect]:
    effects: list[Effect] = []
    for host, permission in list(allocation.permissions.items()):
        verdict = state.policy.judge(host)
        if not verdict.allowed:
            effects.append(ClearRoute(state.allocations.forbid(allocation, host)))
        elif verdict.ports is not permission.ports:
            permission.ports = verdict.ports
            effects.append(SetRoute(Permission(allocation.relay.id, host, verdict.ports)))
    return effects
