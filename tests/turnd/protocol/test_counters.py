"""Counters begin at nothing and know every word that they are asked for."""

from fairlead.datagram import Transport
from fairlead.reasons import Reason
from turnd.protocol.counters import ProtocolCounters


def test_what_never_happened_is_zero() -> None:
    counters = ProtocolCounters()
    assert [counters.dropped[reason] for reason in Reason] == [0] * len(Reason)
    assert not counters.dropped.total()


def test_replies_are_told_apart_by_method_transport_and_code() -> None:
    counters = ProtocolCounters()
    for code in (None, None, 401):
        counters.count_reply(3, Transport.UDP, code)
    counters.count_reply(3, Transport.TCP, None)
    assert counters.replies == {
        (3, Transport.UDP, None): 2,
        (3, Transport.UDP, 401): 1,
        (3, Transport.TCP, None): 1,
    }
