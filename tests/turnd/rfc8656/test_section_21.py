"""RFC 8656 section 21, Security Considerations: what the protocol itself must prevent."""

import pytest

from fairlead.datagram import Address, Family
from fairlead.stun.attributes import LIFETIME, XOR_PEER_ADDRESS
from fairlead.stun.header import Method
from tests.turnd.kit import PEER, PEER6, Client, World, raw

TUNNELS = ["2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2002::1", "2002:c000:204::1", "2002:1400:1::1"]


@pytest.mark.parametrize("host", TUNNELS)
def test_21_4_teredo_and_6to4_are_never_peers(host: str) -> None:
    """Whatever the policy allows: packets to them could go in circles."""
    world = World()
    alice = Client(world)
    alice.allocated(family=Family.IPV6)
    peer = Address(host, 9000)
    assert alice.permit(peer).code == 403
    assert alice.permit(PEER6, peer).code == 403
    assert alice.bind(0x4000, peer).code == 403
    assert not alice.send(peer)
    assert not world.routes


def test_21_1_3_a_faked_refresh_deletes_nothing() -> None:
    """Whoever does not know the password cannot end another's allocation, nor add a permission to it."""
    world = World()
    alice = Client(world)
    alice.allocated()
    mallory = Client(world, password="a guess", address=alice.five_tuple.client)
    assert mallory.refresh((LIFETIME, 0)).code == 401
    assert mallory.permit(PEER).code == 401
    assert world.sockets
    assert not world.routes


@pytest.mark.parametrize("tail", ["000d0004 00000000", "000d0003 00000000", "7f000000", "0008 0014" + "00" * 20])
def test_21_1_3_what_is_appended_to_a_request_is_not_read(tail: str) -> None:
    """An attacker on the path adds LIFETIME 0 behind the integrity of a Refresh: it is a plain Refresh still."""
    world = World()
    alice = Client(world)
    alice.allocated()
    world.advance(100)
    longer = alice.signed(Method.REFRESH) + bytes.fromhex(tail)
    longer = longer[:2] + (len(longer) - 20).to_bytes(2) + longer[4:]
    assert alice.exchange(longer).first(LIFETIME) == 600
    world.advance(599.999)
    assert world.sockets


def test_21_3_3_allocations_of_others_cannot_be_manipulated() -> None:
    """The 5-tuple names the allocation and the user name must match: an insider reaches only what is his."""
    world = World()
    alice = Client(world)
    alice.allocated()
    bob = Client(world, "bob", address=alice.five_tuple.client)
    for reply in (bob.refresh((LIFETIME, 0)), bob.permit(PEER), bob.bind(0x4000, PEER)):
        assert reply.code == 441
    assert world.sockets
    assert not world.routes


def test_21_2_1_a_faked_permission_needs_the_password() -> None:
    """A Send that nobody permitted opens nothing, and a request without integrity is challenged."""
    world = World()
    alice = Client(world)
    alice.allocated()
    request = alice.message(Method.CREATE_PERMISSION, (XOR_PEER_ADDRESS, PEER), raw(0x8000, b""))
    assert alice.exchange(request).code == 401
    assert not alice.send(PEER)
    assert not world.routes
