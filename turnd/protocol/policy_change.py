"""A new peer policy, or a new fence, also counts for what the old one allowed: routes that it denies are withdrawn."""

from collections.abc import Iterable

from fairlead.clock import Now
from fairlead.datagram import Address
from turnd.protocol.allocations import Allocation
from turnd.protocol.effects import ClearRoute, Effect, SetRoute
from turnd.protocol.fences import FenceMode
from turnd.protocol.peer_policy import PeerPolicy
from turnd.protocol.state import State
from turnd.routes import Permission


def change_policy(state: State, policy: PeerPolicy, now: Now) -> tuple[Effect, ...]:
    """Takes the policy over and judges every living permission and channel anew."""
    state.policy = policy
    return _judge_anew(state, state.allocations.by_id.values(), now)


def announce(state: State, room: str, mode: FenceMode, hosts: Iterable[str], now: Now) -> tuple[Effect, ...]:
    """Adds hosts to the fence of a room; what lives beyond a fence that is stricter than before is withdrawn."""
    bound = [state.bound_peer(Address(host, 0)).host for host in hosts]
    is_stricter = state.fences.announce(room, mode, bound)
    if state.fences.is_full:
        state.fences.make_room({room, *state.allocations.by_room})
    if not is_stricter:
        return ()
    return _judge_anew(state, state.allocations.by_room.get(room, {}).values(), now)


def _judge_anew(state: State, allocations: Iterable[Allocation], now: Now) -> tuple[Effect, ...]:
    effects: list[Effect] = []
    for allocation in allocations:
        effects += _judge_channels(state, allocation)
        effects += _judge_permissions(state, allocation, now)
    return tuple(effects)


def _is_beyond_fence(state: State, allocation: Allocation, host: str) -> bool:
    return state.fences.judge(allocation.account.user_id, host) is FenceMode.ENFORCE


def _judge_channels(state: State, allocation: Allocation) -> list[Effect]:
    denied = [
        number
        for number, channel in allocation.channels.items()
        if not state.policy.judge(channel.peer.host, channel.peer.port).allowed
        or _is_beyond_fence(state, allocation, channel.peer.host)
    ]
    return [ClearRoute(state.allocations.unbind(allocation, number)) for number in denied]


def _judge_permissions(state: State, allocation: Allocation, now: Now) -> list[Effect]:
    effects: list[Effect] = []
    for host, permission in list(allocation.permissions.items()):
        verdict = state.policy.judge(host)
        if not verdict.allowed or _is_beyond_fence(state, allocation, host):
            effects.append(ClearRoute(state.allocations.forbid(allocation, host)))
        elif verdict.ports is not permission.ports:
            permission.ports = verdict.ports
            effects.append(SetRoute(Permission(allocation.relay.id, host, verdict.ports), permission.expires))
    return effects
