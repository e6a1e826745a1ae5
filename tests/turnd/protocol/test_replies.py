"""Replies: who signs them, what they carry, how large they get."""

import ast

import pytest

from fairlead.stun.attributes import ERROR_CODE, FINGERPRINT, SOFTWARE, UNKNOWN_ATTRIBUTES
from fairlead.stun.header import Class, Method
from fairlead.stun.integrity import SHA1
from tests.architecture.house import modules
from tests.turnd.kit import Client, World, raw
from turnd.protocol.replies import PHRASES, Refusal, error_values, unknown_attributes

#: What every path lets through without fragments (RFC 8489 section 6.1: 576 bytes less the headers of IP and UDP).
LARGEST = 548


def test_every_code_that_is_sent_has_its_phrase_and_no_other_has_one() -> None:
    """Metrics are labelled with the codes of this table."""
    calls = [
        node
        for name, module in modules().items()
        if name.startswith("turnd.protocol.")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("Refusal", "Challenge")
    ]
    codes = {call.args[0].value for call in calls if isinstance(call.args[0], ast.Constant)}
    assert codes == set(PHRASES)


@pytest.mark.parametrize("code", PHRASES)
def test_an_error_carries_the_phrase_of_its_code_and_not_the_reason(code: int) -> None:
    """The reason is for the operator."""
    ((attribute, value),) = error_values(Refusal(code, "the reason"))
    assert attribute is ERROR_CODE
    assert value == (code, PHRASES[code])


def test_an_unknown_attribute_is_named_to_the_client_and_to_the_operator() -> None:
    refusal = unknown_attributes((0x7F00, 0x0099))
    assert refusal.code == 420
    assert "0x7f00, 0x0099" in refusal.reason
    assert refusal.attributes == ((UNKNOWN_ATTRIBUTES, (0x7F00, 0x0099)),)


def test_integrity_comes_before_fingerprint() -> None:
    """So that both can be checked (RFC 8489 sections 14.5 and 14.7)."""
    alice = Client(World())
    reply = alice.exchange(alice.signed(Method.REFRESH, fingerprint=True))
    assert [row.type for row in reply.visible[-2:]] == [SHA1.attribute.type, FINGERPRINT.type]
    assert reply.message_class is Class.ERROR
    assert reply.is_intact(SHA1, alice.key)


def test_no_reply_needs_a_fragment() -> None:
    """Not even to a request of nothing but unknown attributes, as many as there may be."""
    alice = Client(World())
    unknown = [raw(kind, b"") for kind in range(0x7000, 0x7130)]
    replies = [
        alice.exchange(alice.signed(Method.ALLOCATE, *unknown, fingerprint=True)),
        alice.exchange(alice.message(Method.ALLOCATE, *unknown, fingerprint=True)),
        alice.exchange(alice.message(Method.BINDING, *unknown, fingerprint=True)),
        alice.exchange(alice.message(Method.ALLOCATE, (SOFTWARE, "x" * 700))),
    ]
    assert max(len(reply.data) for reply in replies) <= LARGEST


def test_a_challenge_is_less_than_five_times_the_request() -> None:
    """Spoofing a source to have it flooded is not worth much (and is limited by source)."""
    alice = Client(World())
    request = alice.message(Method.ALLOCATE)
    assert len(alice.exchange(request).data) < 5 * len(request)
