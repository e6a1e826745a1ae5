"""CreatePermission (RFC 8656 section 10)."""

from fairlead.stun.attributes import XOR_PEER_ADDRESS
from turnd.protocol.allocations import Allocation
from turnd.protocol.effects import SetRoute
from turnd.protocol.outcome import Outcome
from turnd.protocol.peers import judge_request
from turnd.protocol.replies import Refusal, Request, success
from turnd.protocol.state import State
from turnd.routes import Ports


def create_permission(state: State, request: Request, allocation: Allocation) -> Outcome:
    """The steps of RFC 8656 section 10.2. One refused peer refuses them all, and nothing is installed."""
    # At least one peer; a permission is for its host, whatever the port.
    peers = request.message.all(XOR_PEER_ADDRESS)
    if not peers:
        return Refusal(400, "XOR-PEER-ADDRESS is missing")

    # Every peer is of the relay's family, which is asked of all of them first, and the policy allows it.
    permitted: dict[str, Ports] = {}
    for peer in sorted(map(state.bound_peer, peers), key=lambda peer: peer.family is allocation.family):
        ports = judge_request(state, request, allocation, peer.host, None)
        if not isinstance(ports, Ports):
            return ports
        permitted[peer.host] = ports

    # All of them fit.
    if len(allocation.permissions.keys() | permitted.keys()) > state.settings.max_permissions:
        return Refusal(508, f"an allocation has at most {state.settings.max_permissions} permissions")

    # Install them, or start their 5 minutes anew.
    routes = (
        state.allocations.permit(allocation, host, ports, request.now.monotonic) for host, ports in permitted.items()
    )
    return (*(SetRoute(*route) for route in routes), success(request))
