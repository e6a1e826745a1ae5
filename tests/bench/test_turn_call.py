from bench.turn_call import send_prefix
from fairlead.datagram import Address
from fairlead.stun.attributes import DATA, XOR_PEER_ADDRESS
from fairlead.stun.message import decode


def test_a_prefix_makes_a_send_indication_of_a_payload() -> None:
    peer = Address("127.0.0.1", 4000)
    message = decode(send_prefix(peer, 172) + b"\x5a" * 172)
    assert message.first(XOR_PEER_ADDRESS) == peer
    assert message.first(DATA) == b"\x5a" * 172
