"""What the conformance cases do not see of the answers that the Python engine gives."""

from fairlead.buckets import Rate
from fairlead.datagram import Address, FiveTuple, Transport, Via
from fairlead.reasons import Reason
from fairlead.stun.header import Class, Method
from fairlead.stun.message import encode, new_mask
from turnd.dataplane.python.bindings import Bindings
from turnd.dataplane.python.clients import Transmit
from turnd.dataplane.python.switchboard import SocketAddress, Switchboard

CLIENT = FiveTuple(Transport.UDP, Address("192.0.2.7", 1000), Address("192.0.2.1", 3478))
REQUEST = encode(Method.BINDING, Class.REQUEST, new_mask(bytes(12)))


def refuse(data: bytes | memoryview, destination: SocketAddress) -> None:
    raise BlockingIOError(11, "no room")


def no_room(five_tuple: FiveTuple, via: Via) -> tuple[Transmit, SocketAddress]:
    return refuse, ()


def test_an_answer_that_the_kernel_does_not_take_is_dropped_and_counted() -> None:
    switchboard = Switchboard()
    bindings = Bindings(switchboard, 16)
    assert bindings.take(REQUEST, CLIENT, no_room)
    assert bindings.answered == 0
    assert switchboard.dropped[Reason.SEND_BUFFER] == 1


def test_without_tokens_nothing_is_even_tried() -> None:
    switchboard = Switchboard()
    bindings = Bindings(switchboard, 16)
    bindings.rate = Rate(0.001, 1)
    assert bindings.take(REQUEST, CLIENT, no_room)
    assert bindings.take(REQUEST, CLIENT, no_room)
    assert switchboard.dropped[Reason.SEND_BUFFER] == switchboard.dropped[Reason.RATE_LIMITED] == 1
