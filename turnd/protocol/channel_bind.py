"""ChannelBind (RFC 8656 section 12)."""

from fairlead.datagram import Address
from fairlead.stun.attributes import CHANNEL_NUMBER, XOR_PEER_ADDRESS
from turnd.protocol.allocations import Allocation
from turnd.protocol.effects import SetRoute
from turnd.protocol.outcome import Outcome
from turnd.protocol.peers import judge_request
from turnd.protocol.replies import Refusal, Request, success
from turnd.protocol.settings import LOWEST_CHANNEL
from turnd.protocol.state import State
from turnd.routes import Ports


def channel_bind(state: State, request: Request, allocation: Allocation) -> Outcome:
    """The steps of RFC 8656 section 12.2."""
    # Both attributes are there, and the number is one for channels.
    number = request.message.first(CHANNEL_NUMBER)
    peer = request.message.first(XOR_PEER_ADDRESS)
    if number is None or peer is None:
        return Refusal(400, "CHANNEL-NUMBER or XOR-PEER-ADDRESS is missing")
    if not LOWEST_CHANNEL <= number <= state.settings.channel_range.highest:
        return Refusal(400, f"channel 0x{number:04x} is out of range; see channel_range")
    peer = state.bound_peer(peer)
    if peer.port == 0:
        return Refusal(400, "no packet can be sent to port 0")

    # Neither the number nor the peer is bound to another.
    mismatch = _mismatch(allocation, number, peer)
    if mismatch is not None:
        return mismatch

    # The peer is of the relay's family, and the policy allows it.
    ports = judge_request(state, request, allocation, peer.host, peer.port)
    if not isinstance(ports, Ports):
        return ports

    # There is room for the channel and for the permission that it installs.
    if number not in allocation.channels and len(allocation.channels) >= state.settings.max_channels:
        return Refusal(508, f"an allocation has at most {state.settings.max_channels} channels")
    if peer.host not in allocation.permissions and len(allocation.permissions) >= state.settings.max_permissions:
        return Refusal(508, f"an allocation has at most {state.settings.max_permissions} permissions")

    # Bind it or start its 10 minutes anew; the permission lives 5 minutes from now.
    now = request.now.monotonic
    permission = state.allocations.permit(allocation, peer.host, ports, now)
    channel = state.allocations.bind(allocation, number, peer, now)
    return (SetRoute(*permission), SetRoute(*channel), success(request))


def _mismatch(allocation: Allocation, number: int, peer: Address) -> Refusal | None:
    bound = allocation.channels.get(number)
    if bound is not None and bound.peer != peer:
        return Refusal(400, f"channel 0x{number:04x} is bound to another peer")
    if allocation.number_by_peer.get(peer, number) != number:
        return Refusal(400, "the peer is bound to another channel")
    return None
