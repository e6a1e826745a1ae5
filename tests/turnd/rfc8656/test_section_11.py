"""RFC 8656 section 11, Send and Data Methods: what a client sends by indication."""

import pytest

from fairlead.datagram import Address, Family
from fairlead.reasons import Reason
from fairlead.stun.attributes import DATA, DONT_FRAGMENT, LIFETIME, NONCE, SOFTWARE, USERNAME, XOR_PEER_ADDRESS
from fairlead.stun.header import Class, Method
from tests.turnd.kit import OTHER_PEER, PEER, PEER6, Client, Row, World, raw
from turnd.protocol.effects import SendFromRelay
from turnd.routes import RelayId


def permitted(family: Family = Family.IPV4) -> tuple[World, Client]:
    """Alice, with an allocation and a permission for the peer of its family."""
    world = World()
    alice = Client(world)
    alice.allocated((LIFETIME, 3600), family=family)
    alice.permit(PEER if family is Family.IPV4 else PEER6)
    world.state.counters.dropped.clear()
    return world, alice


@pytest.mark.parametrize("data", [b"", b"d", b"data", bytes(1400)])
def test_11_2_data_goes_to_the_peer(data: bytes) -> None:
    """From the relayed address of this 5-tuple to the transport address in the indication; also if there is none."""
    world, alice = permitted()
    assert alice.send(PEER, data) == [SendFromRelay(RelayId(1), PEER, data, False)]
    assert not world.state.counters.dropped


@pytest.mark.parametrize(
    "rows",
    [
        (),
        ((XOR_PEER_ADDRESS, PEER),),
        ((DATA, b"data"),),
        (raw(XOR_PEER_ADDRESS, b"\0\1\0\0\0"), (DATA, b"data")),
        ((XOR_PEER_ADDRESS, PEER), (DATA, b"data"), raw(DONT_FRAGMENT, b"\0")),
    ],
)
def test_11_2_peer_and_data_must_be_there_and_valid(rows: tuple[Row, ...]) -> None:
    """Without one of them the indication is dropped, and counted."""
    world, alice = permitted()
    assert not alice.say(alice.message(Method.SEND, *rows, kind=Class.INDICATION))
    assert sum(world.state.counters.dropped.values()) == 1


def test_11_2_dont_fragment_is_handed_on() -> None:
    """With DONT-FRAGMENT the datagram to the peer is sent with the DF bit."""
    _, alice = permitted()
    assert alice.send(PEER, b"data", (DONT_FRAGMENT, True)) == [SendFromRelay(RelayId(1), PEER, b"data", True)]


def test_11_2_without_a_permission_nothing_is_sent() -> None:
    """Another host is another permission."""
    world, alice = permitted()
    assert not alice.send(OTHER_PEER)
    assert world.state.counters.dropped == {Reason.NO_PERMISSION: 1}


def test_11_2_sending_does_not_refresh_the_permission() -> None:
    """Whoever sends all the time still has to ask again."""
    world, alice = permitted()
    for _ in range(3):
        world.advance(99)
        assert alice.send(PEER)
    world.advance(3)
    assert not alice.send(PEER)


def test_11_2_what_the_policy_denies_is_dropped_in_silence() -> None:
    """Also where a permission is still there: the policy may have changed since."""
    world, alice = permitted()
    assert not alice.send(Address("10.0.0.1", 9000))
    assert world.state.counters.dropped == {Reason.PEER_DENIED: 1}


@pytest.mark.parametrize(("family", "peer"), [(Family.IPV4, PEER6), (Family.IPV6, PEER)])
def test_11_2_the_other_address_family_is_dropped_in_silence(family: Family, peer: Address) -> None:
    """The relayed address cannot reach it."""
    world, alice = permitted(family)
    assert not alice.send(peer)
    assert world.state.counters.dropped == {Reason.PEER_FAMILY: 1}


def test_11_2_port_0_is_no_place_to_send_to() -> None:
    """The host may be permitted: no datagram goes to a port that there is not."""
    world, alice = permitted()
    assert not alice.send(Address(PEER.host, 0))
    assert world.state.counters.dropped == {Reason.PORT_ZERO: 1}


def test_11_2_an_unknown_attribute_that_must_be_understood() -> None:
    """The indication is dropped (RFC 8489 section 6.3.2)."""
    world, alice = permitted()
    assert not alice.send(PEER, b"data", raw(0x7F00, b""))
    assert world.state.counters.dropped == {Reason.UNKNOWN_ATTRIBUTE: 1}


@pytest.mark.parametrize(
    "row", [(SOFTWARE, "client"), raw(0xFF00, b"x"), (USERNAME, "alice"), (NONCE, "n"), (LIFETIME, 0)]
)
def test_11_2_what_is_known_or_optional_is_ignored(row: Row) -> None:
    """Attributes that are of no use here do no harm either (RFC 8489 section 6.3)."""
    _, alice = permitted()
    assert alice.send(PEER, b"data", row)


def test_11_2_the_first_of_several_peers_counts() -> None:
    """A second XOR-PEER-ADDRESS is not looked at."""
    _, alice = permitted()
    assert alice.send(PEER, b"data", (XOR_PEER_ADDRESS, OTHER_PEER)) == [
        SendFromRelay(RelayId(1), PEER, b"data", False)
    ]
