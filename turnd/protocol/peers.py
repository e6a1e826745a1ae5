"""May an allocation reach a peer? Asked at every verb that could cause a packet, with the same answer."""

from fairlead.reasons import Reason
from turnd.protocol.allocations import Allocation
from turnd.protocol.fences import FenceMode
from turnd.protocol.outcome import Outcome, drop
from turnd.protocol.peer_policy import PeerClass
from turnd.protocol.replies import Refusal, Request
from turnd.protocol.state import State
from turnd.routes import Ports

#: Seconds within which a request for a host that is not announced yet is met with silence.
EARLY = 1.5
#: Seconds after which it may be met with silence anew. Nobody who was refused asks so late for the same candidate.
FORGOTTEN = 300.0


def judge(state: State, allocation: Allocation, host: str, port: int | None) -> Ports | Refusal:
    """The ports that may be reached, 443 for the other address family, 403 for what the policy denies or the fence of
    the room keeps out (counted)."""
    if (":" in host) != (":" in allocation.relay.address.host):
        return Refusal(443, "the peer is of the other address family than the relayed address")
    verdict = state.policy.judge(host, port)
    if not verdict.allowed:
        state.counters.peer_denied[verdict.peer_class] += 1
        return Refusal(403, f"peer {host} denied: class {verdict.peer_class}")
    fence = state.fences.judge(allocation.account.user_id, host)
    if fence is FenceMode.ENFORCE:
        state.counters.peer_denied[PeerClass.NOT_ANNOUNCED] += 1
        return Refusal(403, f"peer {host} denied: its room has not announced it")
    state.counters.fence_logged += fence is FenceMode.LOG
    return verdict.ports


def judge_request(
    state: State, request: Request, allocation: Allocation, host: str, port: int | None
) -> Ports | Outcome:
    """As judge. A client may hear of a candidate before we do. Most clients give a peer up for good when they read
    403, but repeat a datagram that is not answered: for a moment they get silence, and find the gate open then.
    A stream repeats nothing, so that there the answer is what it is."""
    verdict = judge(state, allocation, host, port)
    if not isinstance(verdict, Refusal) or request.datagram.five_tuple.transport.is_stream:
        return verdict
    if not state.policy.judge(host, port).allowed or verdict.code != 403:
        return verdict
    asked, now = allocation.asked_early, request.now.monotonic
    # In the order in which they were asked for: what waited long ago makes room.
    while asked and now - next(iter(asked.values())) >= FORGOTTEN:
        del asked[next(iter(asked))]
    if host not in asked and len(asked) >= state.settings.max_permissions:
        return verdict
    return drop(state, Reason.PEER_DENIED) if now - asked.setdefault(host, now) < EARLY else verdict
