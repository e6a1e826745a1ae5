"""RFC 8489 section 6.3 for the requests of TURN: what is discarded, what is answered, and how."""

from collections.abc import Callable

import pytest

from fairlead.datagram import Transport
from fairlead.reasons import Reason
from fairlead.stun.attributes import (
    ERROR_CODE,
    NONCE,
    PRIORITY,
    REALM,
    REQUESTED_TRANSPORT,
    SOFTWARE,
    UDP,
    UNKNOWN_ATTRIBUTES,
    USERNAME,
    XOR_PEER_ADDRESS,
)
from fairlead.stun.header import Method
from tests.turnd.kit import PEER, Client, World, raw
from turnd.protocol.effects import Send
from turnd.protocol.replies import PHRASES

METHODS = [Method.ALLOCATE, Method.REFRESH, Method.CREATE_PERMISSION, Method.CHANNEL_BIND]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (lambda data: b"", Reason.EMPTY),
        (lambda data: data[:19], Reason.NOT_STUN),
        (lambda data: bytes((data[0] | 0x80,)) + data[1:], Reason.NOT_STUN),
        (lambda data: bytes((data[0] | 0x40,)) + data[1:], Reason.NOT_STUN),
        (lambda data: data[:4] + b"\x21\x12\xa4\x43" + data[8:], Reason.BAD_COOKIE),
        (lambda data: data[:-1], Reason.MALFORMED),
        (lambda data: data + b"\0", Reason.MALFORMED),
        (lambda data: data[:3] + bytes((data[3] + 1,)) + data[4:], Reason.MALFORMED),
        (lambda data: data[:-1] + bytes((data[-1] ^ 1,)), Reason.BAD_FINGERPRINT),
    ],
)
def test_6_3_what_is_no_stun_is_discarded(broken: Callable[[bytes], bytes], reason: Reason) -> None:
    """First bits, cookie, lengths and FINGERPRINT are checked before anything else; errors are silence."""
    world = World()
    alice = Client(world)
    data = alice.message(Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP), fingerprint=True)
    assert not alice.say(broken(data))
    assert world.state.counters.dropped == {reason: 1}


@pytest.mark.parametrize("method", METHODS)
def test_6_3_1_unknown_attributes_are_listed(method: Method) -> None:
    """420 with all of them, in a reply that is signed, since the request was authentic."""
    alice = Client(World())
    reply = alice.ask(method, raw(0x7FFE, b""), raw(0x7FFF, b"abc"), (PRIORITY, 1))
    assert reply.code == 420
    assert reply.first(UNKNOWN_ATTRIBUTES) == (0x7FFE, 0x7FFF, PRIORITY.type)


@pytest.mark.parametrize("method", METHODS)
def test_6_3_1_unknown_attributes_are_looked_for_after_authentication(method: Method) -> None:
    """Strangers learn nothing of what we understand."""
    alice = Client(World())
    reply = alice.exchange(alice.message(method, raw(0x7FFE, b"")))
    assert reply.code == 401
    assert not reply.has(UNKNOWN_ATTRIBUTES)


def test_6_3_optional_attributes_are_ignored() -> None:
    """Whatever comes with a type above 0x8000."""
    assert Client(World()).allocate(raw(0x8F00, b""), raw(0xFFFF, b"x" * 99), (SOFTWARE, "client")).code == 0


def test_6_3_1_1_an_error_names_its_code_and_a_phrase() -> None:
    """ERROR-CODE is in every error, and the phrase is the one of the code."""
    alice = Client(World())
    for reply in (alice.refresh(), alice.ask(Method.ALLOCATE), alice.allocate(raw(0x7FFF, b""))):
        error = reply.first(ERROR_CODE)
        assert error is not None
        assert error.phrase == PHRASES[error.code]


@pytest.mark.parametrize("transport", Transport)
def test_6_3_1_2_the_response_goes_back_the_way_the_request_came(transport: Transport) -> None:
    """Over the same 5-tuple and out of the same socket or stream."""
    world = World()
    alice = Client(world, transport=transport)
    alice.refresh()
    alice.allocated()
    alice.permit(PEER)
    sent = [effect for effect in world.done if isinstance(effect, Send)]
    assert {(effect.via, effect.five_tuple) for effect in sent} == {(alice.via, alice.five_tuple)}


def test_6_3_1_replies_do_not_repeat_credentials() -> None:
    """A signed reply carries neither USERNAME nor REALM nor NONCE."""
    alice = Client(World())
    for reply in (alice.allocate(), alice.refresh(), alice.permit(), alice.ask(Method.CHANNEL_BIND)):
        assert not reply.has(USERNAME)
        assert not reply.has(REALM)
        assert not reply.has(NONCE)


def test_6_3_of_duplicates_the_first_counts() -> None:
    """The second of two attributes of one type is not looked at."""
    alice = Client(World())
    assert alice.ask(Method.ALLOCATE, (REQUESTED_TRANSPORT, 6), (REQUESTED_TRANSPORT, UDP)).code == 442
    assert alice.ask(Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP), (REQUESTED_TRANSPORT, 6)).code == 0
    assert alice.bind(0x4000, PEER).code == 0
    assert alice.ask(Method.CREATE_PERMISSION, (XOR_PEER_ADDRESS, PEER), (REQUESTED_TRANSPORT, 6)).code == 0
