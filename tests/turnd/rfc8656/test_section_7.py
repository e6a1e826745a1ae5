"""RFC 8656 section 7, Creating an Allocation: the numbered checks of 7.2, and what a success says."""

import itertools

import pytest

from fairlead.datagram import Address, Family
from fairlead.stun.attributes import (
    ADDITIONAL_ADDRESS_FAMILY,
    ADDRESS_ERROR_CODE,
    DONT_FRAGMENT,
    EVEN_PORT,
    LIFETIME,
    REALM,
    REQUESTED_ADDRESS_FAMILY,
    REQUESTED_TRANSPORT,
    RESERVATION_TOKEN,
    UDP,
    UNKNOWN_ATTRIBUTES,
    XOR_MAPPED_ADDRESS,
    XOR_RELAYED_ADDRESS,
)
from fairlead.stun.header import Method
from tests.turnd.kit import HOSTS, PEER, Client, Row, World, raw
from turnd.protocol.ports import Census
from turnd.protocol.quotas import Limits
from turnd.protocol.settings import RelayHost

IPV4_ONLY = {Family.IPV4: HOSTS[Family.IPV4]}
IPV6_ONLY = {Family.IPV6: HOSTS[Family.IPV6]}


def reserved() -> tuple[World, bytes]:
    """A world in which alice has an allocation and has reserved the next port; the token for it."""
    world = World()
    token = Client(world).allocate((EVEN_PORT, True)).first(RESERVATION_TOKEN)
    assert token is not None
    return world, token


def test_7_2_step_1_requests_are_authenticated() -> None:
    """Without credentials there is a challenge, and nothing else."""
    world = World()
    alice = Client(world)
    challenge = alice.exchange(alice.message(Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP)))
    assert challenge.code == 401
    assert challenge.has(REALM)
    assert not world.sockets


def test_7_2_step_2_allocation_mismatch() -> None:
    """A 5-tuple that has an allocation gets no second one."""
    world = World()
    alice = Client(world)
    alice.allocated()
    assert alice.allocate().code == 437
    assert len(world.sockets) == 1


def test_7_2_step_2_a_retransmission_is_its_own_users() -> None:
    """Another user name is no retransmission, whatever its transaction id."""
    world = World()
    alice = Client(world)
    request = alice.signed(Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP))
    alice.exchange(request)
    bob = Client(world, "bob", address=alice.five_tuple.client)
    forged = bob.signed(Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP), mask=request[4:20])
    assert bob.exchange(forged).code == 437


def test_7_2_step_3_requested_transport_is_missing() -> None:
    """The client must say which transport it wants towards its peers."""
    assert Client(World()).ask(Method.ALLOCATE).code == 400


@pytest.mark.parametrize("value", [b"", b"\x11", b"\x11\0\0", b"\x11\0\0\0\0"])
def test_7_2_step_3_requested_transport_is_malformed(value: bytes) -> None:
    """REQUESTED-TRANSPORT has four bytes."""
    assert Client(World()).ask(Method.ALLOCATE, raw(REQUESTED_TRANSPORT, value)).code == 400


@pytest.mark.parametrize("protocol", [0, 6, 16, 18, 255])
def test_7_2_step_3_another_transport_is_not_supported(protocol: int) -> None:
    """UDP is what we relay."""
    assert Client(World()).ask(Method.ALLOCATE, (REQUESTED_TRANSPORT, protocol)).code == 442


def test_7_2_step_4_a_malformed_dont_fragment() -> None:
    """DONT-FRAGMENT has no value."""
    assert Client(World()).allocate(raw(DONT_FRAGMENT, b"\0")).code == 400


def test_7_2_step_4_dont_fragment_is_supported() -> None:
    """A client that asks whether it may set the DF bit hears that it may."""
    assert Client(World()).allocate((DONT_FRAGMENT, True)).code == 0


@pytest.mark.parametrize("companion", [(EVEN_PORT, False), (EVEN_PORT, True), (REQUESTED_ADDRESS_FAMILY, 1)])
def test_7_2_step_5_a_token_excludes_what_would_choose_another_port(companion: Row) -> None:
    """A reserved port has its number and its family; nothing may stand beside its token that asks for others."""
    world, token = reserved()
    assert Client(world).allocate((RESERVATION_TOKEN, token), companion).code == 400
    assert Client(world).allocate((RESERVATION_TOKEN, token)).code == 0


@pytest.mark.parametrize("token", [bytes(8), b"\xff" * 8])
def test_7_2_step_5_an_unknown_token(token: bytes) -> None:
    """Where nothing is reserved under a token, there is no capacity for it."""
    world, _ = reserved()
    assert Client(world).allocate((RESERVATION_TOKEN, token)).code == 508


@pytest.mark.parametrize("token", [b"", bytes(7), bytes(9)])
def test_7_2_step_5_a_malformed_token(token: bytes) -> None:
    """A token has eight bytes."""
    assert Client(World()).allocate(raw(RESERVATION_TOKEN, token)).code == 400


@pytest.mark.parametrize(("hosts", "family"), [(IPV4_ONLY, 2), (IPV6_ONLY, 1), (HOSTS, 0), (HOSTS, 3), (HOSTS, 255)])
def test_7_2_step_7_an_address_family_that_is_not_relayed(hosts: dict[Family, RelayHost], family: int) -> None:
    """Whatever family we have no relay address of, known or not, is not supported."""
    world = World(hosts=hosts)
    assert Client(world).allocate((REQUESTED_ADDRESS_FAMILY, family)).code == 440
    assert not world.sockets


def test_7_2_step_7_ipv4_is_meant_where_no_family_is_named() -> None:
    """A request without REQUESTED-ADDRESS-FAMILY gets an IPv4 address."""
    assert Client(World()).allocated().family is Family.IPV4


def test_7_2_step_7_a_server_without_ipv4_refuses_who_means_ipv4() -> None:
    """A request without REQUESTED-ADDRESS-FAMILY means IPv4, also where there is none to give."""
    world = World(hosts=IPV6_ONLY)
    assert Client(world).allocate().code == 440
    assert Client(world).allocated(family=Family.IPV6).family is Family.IPV6


@pytest.mark.parametrize("family", Family)
def test_7_2_step_7_the_requested_family(family: Family) -> None:
    """The relayed address is of the family that was asked for."""
    assert Client(World()).allocated(family=family).family is family


def test_7_2_step_8_no_pair_of_ports_is_left() -> None:
    """EVEN-PORT with its R bit wants two ports side by side; single ones do not do."""
    world = World(ports=(50001, 50002))
    assert Client(world).allocate((EVEN_PORT, True)).code == 508
    assert world.census() == Census(free=2, used=0, held=0, foreign=0)
    assert Client(world).allocate((EVEN_PORT, False)).code == 0


def test_7_2_step_8_no_even_port_is_left() -> None:
    """An odd port does not do for EVEN-PORT."""
    world = World(ports=(50001, 50001))
    assert Client(world).allocate((EVEN_PORT, False)).code == 508
    assert Client(world).allocate().code == 0


def test_7_2_step_9_a_second_address_family_is_not_offered() -> None:
    """ADDITIONAL-ADDRESS-FAMILY need not be understood: its client gets one address, and no error for the other."""
    reply = Client(World()).allocate((ADDITIONAL_ADDRESS_FAMILY, Family.IPV6))
    assert [relayed.family for relayed in reply.all(XOR_RELAYED_ADDRESS)] == [Family.IPV4]
    assert not reply.has(ADDRESS_ERROR_CODE)


@pytest.mark.parametrize(
    "rows",
    [
        ((RESERVATION_TOKEN, bytes(8)), (ADDITIONAL_ADDRESS_FAMILY, Family.IPV6)),
        ((REQUESTED_ADDRESS_FAMILY, Family.IPV4), (ADDITIONAL_ADDRESS_FAMILY, Family.IPV6)),
        ((EVEN_PORT, True), (ADDITIONAL_ADDRESS_FAMILY, Family.IPV6)),
        ((ADDITIONAL_ADDRESS_FAMILY, Family.IPV4),),
        (raw(ADDITIONAL_ADDRESS_FAMILY, b""),),
    ],
    ids=["step 5", "step 6", "step 8", "step 9", "unreadable"],
)
def test_7_2_an_additional_address_family_that_contradicts_the_rest(rows: tuple[Row, ...]) -> None:
    """400, though no second address is offered: the client has made a mistake in any case."""
    assert Client(World()).allocate(*rows).code == 400


def test_7_2_step_8_an_even_port_alone_may_stand_beside_an_additional_family() -> None:
    """Only with its R bit set is it refused."""
    assert Client(World()).allocate((EVEN_PORT, False), (ADDITIONAL_ADDRESS_FAMILY, Family.IPV6)).code == 0


def test_7_2_step_10_quotas_are_by_user_name() -> None:
    """Who has as many allocations as a user may have gets 486 from any address; others go on."""
    world = World(limits=Limits(allocations_per_user=2))
    assert [Client(world).allocate().code for _ in range(3)] == [0, 0, 486]
    assert Client(world, "bob").allocate().code == 0


def test_7_2_a_reservation_token_yields_the_port_that_was_reserved() -> None:
    """The port above the even one, to the same user on any other 5-tuple."""
    world = World()
    reply = Client(world).allocate((EVEN_PORT, True))
    token, first = reply.first(RESERVATION_TOKEN), reply.first(XOR_RELAYED_ADDRESS)
    assert first is not None
    second = Client(world, address=Address("203.0.113.99", 4000)).allocated((RESERVATION_TOKEN, token))
    assert second == Address(first.host, first.port + 1)


def test_7_2_a_reservation_is_used_once() -> None:
    """The token is good for one allocation."""
    world, token = reserved()
    assert [Client(world).allocate((RESERVATION_TOKEN, token)).code for _ in range(2)] == [0, 508]


def test_7_2_a_reservation_is_its_users() -> None:
    """Whoever else shows the token gets nothing, and does not spoil it."""
    world, token = reserved()
    assert Client(world, "bob").allocate((RESERVATION_TOKEN, token)).code == 508
    assert Client(world).allocate((RESERVATION_TOKEN, token)).code == 0


def test_7_2_even_port_without_reservation() -> None:
    """With the R bit 0 the port is even, and nothing is reserved."""
    world = World()
    for _ in range(20):
        reply = Client(world).allocate((EVEN_PORT, False))
        relayed = reply.first(XOR_RELAYED_ADDRESS)
        assert relayed is not None
        assert relayed.port % 2 == 0
        assert not reply.has(RESERVATION_TOKEN)
    assert len(world.sockets) == 20


def test_7_2_even_port_with_reservation() -> None:
    """With the R bit 1 the port is even, the next one is bound for nobody yet, and a token stands for it."""
    world = World()
    reply = Client(world).allocate((EVEN_PORT, True))
    relayed = reply.first(XOR_RELAYED_ADDRESS)
    assert relayed is not None
    assert relayed.port % 2 == 0
    assert reply.has(RESERVATION_TOKEN)
    assert set(world.sockets.values()) == {relayed, Address(relayed.host, relayed.port + 1)}
    assert len(world.owners) == 1


def test_7_2_a_reservation_is_held_for_30_seconds() -> None:
    """It waits at least that long, and then the port goes back."""
    world, token = reserved()
    world.advance(29.999)
    assert Client(world).allocate((RESERVATION_TOKEN, token)).code == 0
    world, token = reserved()
    world.advance(30)
    assert Client(world).allocate((RESERVATION_TOKEN, token)).code == 508
    assert world.census() == Census(free=98, used=1, held=1, foreign=0)


def test_7_2_a_reservation_outlives_the_allocation_that_made_it() -> None:
    """It is the server's promise, not a part of the first allocation."""
    world = World()
    alice = Client(world)
    token = alice.allocate((EVEN_PORT, True)).first(RESERVATION_TOKEN)
    alice.refresh((LIFETIME, 0))
    assert Client(world).allocate((RESERVATION_TOKEN, token)).code == 0


def test_7_2_ports_are_chosen_by_chance() -> None:
    """Two neighbours in time are no neighbours in number, and the whole range is used."""
    world = World(ports=(50000, 51999))
    drawn = [Client(world).allocated().port for _ in range(100)]
    assert len({port // 500 for port in drawn}) == 4
    assert sum(abs(one - other) == 1 for one, other in itertools.pairwise(drawn)) < 5


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        (None, 600),
        (0, 600),
        (1, 600),
        (599, 600),
        (600, 600),
        (601, 601),
        (3600, 3600),
        (3601, 3600),
        (2**32 - 1, 3600),
    ],
)
def test_7_2_lifetime(asked: int | None, granted: int) -> None:
    """What was asked for, no less than the default and no more than the maximum."""
    world = World()
    rows = () if asked is None else ((LIFETIME, asked),)
    assert Client(world).allocate(*rows).first(LIFETIME) == granted
    world.advance(granted - 0.001)
    assert world.sockets
    world.advance(0.001)
    assert not world.sockets


@pytest.mark.parametrize("value", [b"", b"\0\0\x0e", b"\0\0\0\x0e\x10"])
@pytest.mark.parametrize("even", [None, False, True])
def test_7_2_a_malformed_lifetime(value: bytes, even: bool | None) -> None:
    """It costs the client an error, and the server neither a socket nor a port."""
    world = World()
    rows = () if even is None else ((EVEN_PORT, even),)
    assert Client(world).allocate(raw(LIFETIME, value), *rows).code == 400
    assert world.census() == Census(free=100, used=0, held=0, foreign=0)


def test_7_2_a_malformed_lifetime_spares_the_reservation() -> None:
    """The reserved port is still there for a request that can be read."""
    world, token = reserved()
    assert Client(world).allocate((RESERVATION_TOKEN, token), raw(LIFETIME, b"")).code == 400
    assert Client(world).allocate((RESERVATION_TOKEN, token)).code == 0


def test_7_2_the_success_response() -> None:
    """It names the relayed address, the lifetime and the address that the client has for us."""
    world = World()
    alice = Client(world)
    reply = alice.allocate()
    assert [reply.first(XOR_RELAYED_ADDRESS)] == list(world.sockets.values())
    assert reply.first(LIFETIME) == 600
    assert reply.first(XOR_MAPPED_ADDRESS) == alice.five_tuple.client
    assert not reply.has(RESERVATION_TOKEN)


def test_7_2_a_new_allocation_permits_nobody() -> None:
    """The list of permissions and the list of channels are empty."""
    world = World()
    alice = Client(world)
    alice.allocated()
    assert not alice.send(PEER)
    assert not world.routes


def test_7_2_a_retransmission_gets_its_reservation_token_again() -> None:
    """The reply that got lost is repeated with the same token."""
    world = World()
    alice = Client(world)
    request = alice.signed(Method.ALLOCATE, (REQUESTED_TRANSPORT, UDP), (EVEN_PORT, True))
    token = alice.exchange(request).first(RESERVATION_TOKEN)
    assert alice.exchange(request).first(RESERVATION_TOKEN) == token
    assert Client(world).allocate((RESERVATION_TOKEN, token)).code == 0


def test_7_4_an_unknown_attribute_is_named() -> None:
    """420 lists what was not understood, each once."""
    reply = Client(World()).allocate(raw(0x7F01, b"x"), raw(0x7F02, b""), raw(0x7F01, b"y"))
    assert reply.code == 420
    assert reply.first(UNKNOWN_ATTRIBUTES) == (0x7F01, 0x7F02)
