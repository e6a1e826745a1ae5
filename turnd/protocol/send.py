"""Send indications that the engine does not forward by itself (RFC 8656 section 11.2). They are never answered."""

from fairlead.clock import Now
from fairlead.datagram import Datagram, Family
from fairlead.reasons import Reason
from fairlead.stun.attributes import DATA, DONT_FRAGMENT, XOR_PEER_ADDRESS, AttributeValueError
from fairlead.stun.message import Message
from turnd.protocol.allocations import Allocation
from turnd.protocol.effects import Effect, SendFromRelay
from turnd.protocol.outcome import drop
from turnd.protocol.peers import judge
from turnd.protocol.replies import Refusal
from turnd.protocol.state import State
from turnd.protocol.understood import UNDERSTOOD


def send(state: State, datagram: Datagram, message: Message, now: Now) -> tuple[Effect, ...]:
    """The steps of RFC 8656 section 11.2; whatever fails one of them is dropped and counted."""
    allocation = state.allocations.by_five_tuple.get(datagram.five_tuple)
    if allocation is None:
        return drop(state, Reason.NO_ALLOCATION)
    if message.unknown(UNDERSTOOD):
        return drop(state, Reason.UNKNOWN_ATTRIBUTE)
    try:
        return _forward(state, allocation, message)
    except AttributeValueError:
        return drop(state, Reason.MALFORMED)


def _forward(state: State, allocation: Allocation, message: Message) -> tuple[Effect, ...]:
    # Both attributes are there.
    peer = message.first(XOR_PEER_ADDRESS)
    data = message.first(DATA)
    if peer is None or data is None:
        return drop(state, Reason.MISSING_ATTRIBUTE)
    peer = state.bound_peer(peer)
    if peer.port == 0:
        return drop(state, Reason.PORT_ZERO)

    # The policy allows the peer, and a permission is alive; sending does not prolong it.
    ports = judge(state, allocation, peer.host, peer.port)
    if isinstance(ports, Refusal):
        return drop(state, Reason.PEER_FAMILY if ports.code == 443 else Reason.PEER_DENIED)
    if peer.host not in allocation.permissions:
        return drop(state, Reason.NO_PERMISSION)

    dont_fragment = message.first(DONT_FRAGMENT) is not None and _heeds_dont_fragment(allocation)
    return (SendFromRelay(allocation.relay.id, peer, data, dont_fragment),)


def _heeds_dont_fragment(allocation: Allocation) -> bool:
    """Between datagrams with IPv6 on either side the attribute is to be ignored (RFC 8656 sections 13.1 to 13.3)."""
    transport, client, _ = allocation.five_tuple
    return transport.is_stream or client.family is allocation.family is Family.IPV4
