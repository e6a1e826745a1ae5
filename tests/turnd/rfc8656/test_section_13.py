"""RFC 8656 sections 13 to 15: when the DF bit is set."""

import pytest

from fairlead.datagram import Address, Family, Transport
from fairlead.stun.attributes import DONT_FRAGMENT
from tests.turnd.kit import PEER, PEER6, Client, World

CLIENTS = {Family.IPV4: Address("198.51.100.7", 4000), Family.IPV6: Address("2001:db8::7", 4000)}
PEERS = {Family.IPV4: PEER, Family.IPV6: PEER6}


@pytest.mark.parametrize("transport", Transport)
@pytest.mark.parametrize("relayed", Family)
@pytest.mark.parametrize("client", Family)
def test_13_dont_fragment_counts_where_nothing_is_translated(
    client: Family, relayed: Family, transport: Transport
) -> None:
    """From IPv4 to IPv4, and from streams; with IPv6 on either side of a datagram it is ignored, not refused."""
    alice = Client(World(), address=CLIENTS[client], transport=transport)
    alice.allocated((DONT_FRAGMENT, True), family=relayed)
    alice.permit(PEERS[relayed])
    (sent,) = alice.send(PEERS[relayed], b"data", (DONT_FRAGMENT, True))
    assert sent.dont_fragment is (transport.is_stream or client is relayed is Family.IPV4)
