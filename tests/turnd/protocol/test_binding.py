"""Binding on a TURN listener."""

import pytest

from fairlead.datagram import Address, Transport
from fairlead.reasons import Reason
from fairlead.stun.attributes import FINGERPRINT, PRIORITY, SOFTWARE, USERNAME, XOR_MAPPED_ADDRESS
from fairlead.stun.header import Class, Method
from tests.turnd.kit import Client, World, raw


@pytest.mark.parametrize("transport", Transport)
@pytest.mark.parametrize("source", [Address("198.51.100.7", 4000), Address("2001:db8::7", 4000)])
def test_the_reflexive_address_and_nothing_else(source: Address, transport: Transport) -> None:
    client = Client(World(), address=source, transport=transport)
    reply = client.exchange(client.message(Method.BINDING))
    assert reply.first(XOR_MAPPED_ADDRESS) == source
    assert len(reply.visible) == 1


def test_twenty_bytes_are_answered_with_thirty_two() -> None:
    client = Client(World())
    request = client.message(Method.BINDING)
    assert (len(request), len(client.exchange(request).data)) == (20, 32)


def test_credentials_are_neither_asked_for_nor_looked_at() -> None:
    world = World(challenges=(0.001, 1))
    client = Client(world)
    request = client.message(Method.BINDING, (USERNAME, "agent:other"), (PRIORITY, 1), (SOFTWARE, "client"))
    assert [client.exchange(request).code for _ in range(3)] == [0, 0, 0]
    assert not world.state.counters.auth_failures


def test_an_unknown_attribute_is_refused() -> None:
    client = Client(World())
    assert client.exchange(client.message(Method.BINDING, raw(0x7F00, b""))).code == 420


def test_a_fingerprint_is_answered_with_one() -> None:
    client = Client(World())
    assert client.exchange(client.message(Method.BINDING, fingerprint=True)).has(FINGERPRINT)


def test_an_allocation_is_not_touched() -> None:
    world = World()
    client = Client(world)
    client.allocated()
    world.advance(599)
    client.exchange(client.message(Method.BINDING))
    world.advance(1)
    assert not world.sockets


def test_answers_are_counted() -> None:
    world = World()
    client = Client(world)
    client.exchange(client.message(Method.BINDING))
    client.exchange(client.message(Method.BINDING, raw(0x7F00, b"")))
    assert world.state.counters.replies == {
        (Method.BINDING, Transport.UDP, None): 1,
        (Method.BINDING, Transport.UDP, 420): 1,
    }


def test_a_binding_indication_keeps_a_nat_open_and_is_silence() -> None:
    world = World()
    client = Client(world)
    assert not client.say(client.message(Method.BINDING, kind=Class.INDICATION))
    assert world.state.counters.dropped == {Reason.NOT_A_REQUEST: 1}
