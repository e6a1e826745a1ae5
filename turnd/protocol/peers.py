"""May an allocation reach a peer? Asked at every verb that could cause a packet, with the same answer."""

from turnd.protocol.allocations import Allocation
from turnd.protocol.replies import Refusal
from turnd.protocol.state import State
from turnd.routes import Ports


def judge(state: State, allocation: Allocation, host: str, port: int | None) -> Ports | Refusal:
    """The ports that may be reached, 443 for the other address family, 403 for what the policy denies (counted)."""
    if (":" in host) != (":" in allocation.relay.address.host):
        return Refusal(443, "the peer is of the other address family than the relayed address")
    verdict = state.policy.judge(host, port)
    if not verdict.allowed:
        state.counters.peer_denied[verdict.peer_class] += 1
        return Refusal(403, f"peer {host} denied: class {verdict.peer_class}")
    return verdict.ports
