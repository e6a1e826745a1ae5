"""RFC 8656 section 10, CreatePermission."""

import pytest

from fairlead.datagram import Address, Family
from fairlead.stun.attributes import DATA, LIFETIME, XOR_PEER_ADDRESS, XOR_RELAYED_ADDRESS
from fairlead.stun.header import Method
from tests.turnd.kit import OTHER_PEER, PEER, PEER6, Client, Row, World, raw
from turnd.routes import Permission, Ports, RelayId

DENIED = Address("10.0.0.1", 9000)
DENIED6 = Address("fc00::1", 9000)


def allocated(family: Family = Family.IPV4) -> tuple[World, Client]:
    world = World()
    alice = Client(world)
    alice.allocated(family=family)
    return world, alice


def test_10_2_a_peer_must_be_named() -> None:
    """A request without XOR-PEER-ADDRESS asks for nothing."""
    assert allocated()[1].permit().code == 400


@pytest.mark.parametrize("value", [b"", b"\0\1\0\0", b"\0\1\0\0\0\0\0", b"\0\3\0\0\0\0\0\0", b"\0\2\0\0\0\0\0\0"])
@pytest.mark.parametrize("place", range(3))
def test_10_2_an_invalid_peer_refuses_them_all(value: bytes, place: int) -> None:
    """Of several peers one that cannot be read is enough, wherever it stands."""
    world, alice = allocated()
    rows = [(XOR_PEER_ADDRESS, PEER), (XOR_PEER_ADDRESS, OTHER_PEER)]
    rows.insert(place, raw(XOR_PEER_ADDRESS, value))
    assert alice.ask(Method.CREATE_PERMISSION, *rows).code == 400
    assert not world.routes


def test_10_2_what_is_known_and_unexpected_is_ignored() -> None:
    """Attributes of other messages of TURN do no harm in this one (RFC 8489 section 6.3)."""
    _, alice = allocated()
    rows: list[Row] = [(XOR_PEER_ADDRESS, PEER), (DATA, b"data"), (LIFETIME, 0), (XOR_RELAYED_ADDRESS, PEER)]
    assert alice.ask(Method.CREATE_PERMISSION, *rows).code == 0
    assert alice.send(PEER)


def test_10_2_several_peers_in_one_request() -> None:
    """Each gets its permission."""
    world, alice = allocated()
    assert alice.permit(PEER, OTHER_PEER, PEER).code == 0
    assert world.routes == {Permission(RelayId(1), peer.host, Ports.ANY) for peer in (PEER, OTHER_PEER)}


@pytest.mark.parametrize(
    ("family", "peers"),
    [
        (Family.IPV4, [PEER6]),
        (Family.IPV6, [PEER]),
        (Family.IPV4, [PEER, PEER6]),
        (Family.IPV6, [PEER, PEER6]),
        (Family.IPV4, [DENIED6]),
        (Family.IPV6, [DENIED]),
    ],
)
def test_10_2_another_address_family_gets_443(family: Family, peers: list[Address]) -> None:
    """The relayed address cannot reach it, be it allowed or not; nothing is installed for the others either."""
    world, alice = allocated(family)
    assert alice.permit(*peers).code == 443
    assert not world.routes


@pytest.mark.parametrize("peers", [[DENIED, PEER6], [PEER6, DENIED], [DENIED, DENIED6]])
def test_10_2_443_goes_before_403(peers: list[Address]) -> None:
    """443 is a must, 403 a may, whichever peer stands first."""
    assert allocated()[1].permit(*peers).code == 443


@pytest.mark.parametrize("peers", [[DENIED], [DENIED, PEER], [PEER, DENIED], [PEER, DENIED, OTHER_PEER]])
def test_10_2_one_forbidden_peer_refuses_them_all(peers: list[Address]) -> None:
    """403, and nothing of the request is installed."""
    world, alice = allocated()
    assert alice.permit(*peers).code == 403
    assert not world.routes


def test_10_2_a_refused_request_leaves_what_was_there() -> None:
    """Neither is it refreshed: it ends when it would have ended."""
    world, alice = allocated()
    alice.permit(PEER)
    world.advance(200)
    assert alice.permit(PEER, DENIED).code == 403
    world.advance(99.999)
    assert alice.send(PEER)
    world.advance(0.001)
    assert not alice.send(PEER)


def test_10_2_more_permissions_than_there_may_be() -> None:
    """508, and nothing of the request is installed; those that are there can be refreshed."""
    world = World(max_permissions=2)
    alice = Client(world)
    alice.allocated()
    third = Address("20.0.0.3", 0)
    assert alice.permit(PEER, OTHER_PEER, third).code == 508
    assert not world.routes
    assert alice.permit(PEER, OTHER_PEER).code == 0
    assert alice.permit(third).code == 508
    assert alice.permit(OTHER_PEER).code == 0
    world.advance(300)
    assert alice.permit(third).code == 0
