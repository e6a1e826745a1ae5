"""RFC 8656 section 17 and RFC 8489 section 6.3: which methods there are, and in which classes."""

import itertools

import pytest

from fairlead.reasons import Reason
from fairlead.stun.header import Class, Method
from tests.turnd.kit import PEER, Client, World

REQUESTS = {Method.BINDING, Method.ALLOCATE, Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND}
INDICATIONS = {Method.SEND}
#: Methods of RFCs that turnd does not speak, and numbers that nobody gave a meaning.
OTHERS = {Method.DATA, Method.CONNECT, Method.CONNECTION_BIND, Method.CONNECTION_ATTEMPT, 0x000, 0x002, 0x080, 0xFFF}
METHODS = sorted(REQUESTS | INDICATIONS | OTHERS)


def is_handled(kind: Class, method: int) -> bool:
    return (kind is Class.REQUEST and method in REQUESTS) or (kind is Class.INDICATION and method in INDICATIONS)


@pytest.mark.parametrize(
    ("kind", "method"), [case for case in itertools.product(Class, METHODS) if not is_handled(*case)]
)
def test_17_a_class_that_a_method_does_not_have_is_silence(kind: Class, method: int) -> None:
    """Responses, foreign indications and unknown methods are dropped and counted, never answered."""
    world = World()
    alice = Client(world)
    alice.allocated()
    alice.permit(PEER)
    assert not alice.say(alice.message(method, kind=kind))
    expected = Reason.UNKNOWN_METHOD if kind is Class.REQUEST else Reason.NOT_A_REQUEST
    assert world.state.counters.dropped == {expected: 1}


@pytest.mark.parametrize("method", sorted(REQUESTS))
def test_17_every_request_of_turn_is_answered(method: Method) -> None:
    """Once each."""
    assert Client(World()).exchange(Client(World()).message(method)).method == method
