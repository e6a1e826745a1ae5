"""The verbs: what is set is there, what is cleared is gone, and saying it twice changes nothing."""

import pytest

from fairlead.datagram import Address, FiveTuple, Transport, Via
from fairlead.reasons import Reason
from tests.conformance.conftest import MakeEngine
from tests.conformance.kit import IPV4, IPV6, NUMBER, VIA, Rig, channel_data, free_address, plain_send
from turnd.dataplane.contract import Usage
from turnd.routes import Channel, Permission, Ports, RelayId, Route

HOST = {IPV4: "198.51.100.1", IPV6: "2001:db8::1"}
OTHER_HOST = {IPV4: "198.51.100.2", IPV6: "2001:db8::2"}


def test_routes_are_exactly_what_was_set(rig: Rig) -> None:
    first, second = rig.relay(), rig.relay(rig.client().five_tuple)
    assert rig.engine.routes() == frozenset()
    routes: list[Route] = [
        first.permit(HOST[rig.host]),
        first.permit(OTHER_HOST[rig.host], Ports.OWN_RELAYED),
        first.bind(0x4000, Address(HOST[rig.host], 1)),
        first.bind(0x4001, Address(HOST[rig.host], 2)),
        second.permit(HOST[rig.host]),
        second.bind(0x4000, Address(OTHER_HOST[rig.host], 1)),
    ]
    assert rig.engine.routes() == frozenset(routes)
    for route in routes:
        rig.engine.set_route(route)
    assert rig.engine.routes() == frozenset(routes)
    while routes:
        rig.engine.clear_route(routes[0])
        rig.engine.clear_route(routes.pop(0))
        assert rig.engine.routes() == frozenset(routes)


def test_a_permission_replaces_that_of_the_same_host(rig: Rig) -> None:
    relay = rig.relay()
    wide = relay.permit(HOST[rig.host], Ports.ANY)
    narrow = relay.permit(HOST[rig.host], Ports.OWN_RELAYED)
    assert rig.engine.routes() == {narrow}
    rig.engine.clear_route(wide)
    assert rig.engine.routes() == {narrow}


def test_a_channel_replaces_that_of_the_same_number_and_that_of_the_same_peer(rig: Rig) -> None:
    client, relay, peer = rig.call()
    permission, other = relay.permit(rig.host), rig.peer()
    moved = relay.bind(NUMBER, other.address)
    assert rig.engine.routes() == {permission, moved}
    client.say(channel_data(b"up"))
    assert other.receive() == (b"up", relay.address)
    peer.send(b"no channel any more", relay.address)
    assert client.receive()[0][:2] == b"\0\x17"
    renumbered = relay.bind(NUMBER + 1, other.address)
    assert rig.engine.routes() == {permission, renumbered}
    client.say(channel_data(b"up"))
    rig.expect_dropped(Reason.NO_CHANNEL)
    other.send(b"down", relay.address)
    assert client.receive() == (channel_data(b"down", NUMBER + 1), rig.listener)
    rig.engine.clear_route(moved)
    assert rig.engine.routes() == {permission, renumbered}


def test_clearing_what_is_not_there_does_nothing(rig: Rig) -> None:
    client, relay, peer = rig.call()
    before = rig.engine.routes()
    for stranger in (relay.number, RelayId(999)):
        rig.engine.clear_route(Permission(stranger, OTHER_HOST[rig.host], Ports.ANY))
        rig.engine.clear_route(Permission(stranger, rig.host, Ports.OWN_RELAYED))
        rig.engine.clear_route(Channel(stranger, NUMBER, Address(rig.host, 1)))
        rig.engine.clear_route(Channel(stranger, NUMBER + 1, peer.address))
    assert rig.engine.routes() == before
    client.say(channel_data(b"up"))
    assert peer.receive() == (b"up", relay.address)


def test_a_route_needs_an_open_relay_socket(make: MakeEngine) -> None:
    engine = make()
    with pytest.raises(KeyError):
        engine.set_route(Permission(RelayId(1), IPV4, Ports.ANY))
    with pytest.raises(KeyError):
        engine.set_client(RelayId(1), FiveTuple(Transport.TCP, Address(IPV4, 1), Address(IPV4, 2)), VIA)
    with pytest.raises(KeyError):
        engine.usage(RelayId(1))


def test_a_client_whose_listener_has_been_closed_is_not_reached(rig: Rig) -> None:
    """Its request may have waited for the core meanwhile. All else goes on, and so does the client when it comes in by
    a listener that is open."""
    client, relay, peer = rig.client(), rig.relay(), rig.peer()
    rig.engine.set_client(relay.number, client.five_tuple, Via(99))
    relay.permit(rig.host)
    relay.bind(NUMBER, peer.address)
    peer.send(b"down", relay.address)
    rig.expect_dropped(Reason.UNREACHABLE)
    rig.engine.set_client(relay.number, client.five_tuple, VIA)
    client.say(channel_data(b"up"))
    assert peer.receive() == (b"up", relay.address)
    peer.send(b"down", relay.address)
    assert client.receive() == (channel_data(b"down"), rig.listener)


def test_a_route_is_of_its_relay_sockets_family(rig: Rig) -> None:
    relay, foreign = rig.relay(), HOST[IPV6 if rig.host == IPV4 else IPV4]
    with pytest.raises(ValueError, match=foreign):
        relay.permit(foreign)
    with pytest.raises(ValueError, match=foreign):
        relay.bind(NUMBER, Address(foreign, 9))
    with pytest.raises(ValueError, match="port 0"):
        relay.bind(NUMBER, Address(HOST[rig.host], 0))
    assert not rig.engine.routes()


def test_closing_a_relay_socket_withdraws_everything(rig: Rig) -> None:
    client, relay, peer = rig.call()
    client.say(channel_data(b"up"))
    peer.receive()
    assert rig.engine.close_relay(relay.number) == Usage(packets_to_peer=1, bytes_to_peer=2)
    assert rig.engine.close_relay(relay.number) == Usage()
    assert not rig.engine.routes()
    client.say(channel_data(b"up"))
    rig.expect_dropped(Reason.NO_ALLOCATION, 1)
    client.say(plain_send(peer.address, b"up"))
    rig.expect_dropped(Reason.NO_ALLOCATION, 2)
    rig.engine.open_relay(relay.number, relay.address)
    rig.engine.set_client(relay.number, client.five_tuple, VIA)
    assert not rig.engine.routes()
    client.say(channel_data(b"up"))
    rig.expect_dropped(Reason.NO_CHANNEL, before={Reason.NO_ALLOCATION: 2})


def test_a_relay_socket_can_be_opened_once(rig: Rig) -> None:
    relay = rig.relay()
    with pytest.raises(ValueError, match=str(relay.number)):
        rig.engine.open_relay(relay.number, free_address(rig.host))
    with pytest.raises(OSError, match="in use"):
        rig.engine.open_relay(RelayId(999), relay.address)
    with pytest.raises(OSError, match="assign"):
        rig.engine.open_relay(RelayId(999), Address(HOST[rig.host], 0))
    rig.engine.close_relay(relay.number)
    rig.engine.open_relay(RelayId(999), relay.address)


def test_a_relay_socket_without_a_client_drops(rig: Rig) -> None:
    relay, peer = rig.relay(), rig.peer()
    relay.permit(rig.host)
    relay.bind(NUMBER, peer.address)
    peer.send(b"down", relay.address)
    rig.expect_dropped(Reason.NO_ALLOCATION)


def test_routes_may_come_before_the_client(rig: Rig) -> None:
    client, relay, peer = rig.client(), rig.relay(), rig.peer()
    routes = {relay.permit(rig.host), relay.bind(NUMBER, peer.address)}
    rig.engine.set_client(relay.number, client.five_tuple, VIA)
    rig.engine.set_client(relay.number, client.five_tuple, VIA)
    assert rig.engine.routes() == routes
    client.say(channel_data(b"up"))
    assert peer.receive() == (b"up", relay.address)
    peer.send(b"down", relay.address)
    assert client.receive() == (channel_data(b"down"), rig.listener)


def test_a_relay_socket_moves_to_another_5_tuple_with_its_routes(rig: Rig) -> None:
    old, relay, peer = rig.call()
    routes, new = rig.engine.routes(), rig.client()
    rig.engine.set_client(relay.number, new.five_tuple, VIA)
    assert rig.engine.routes() == routes
    new.say(channel_data(b"up"))
    assert peer.receive() == (b"up", relay.address)
    peer.send(b"down", relay.address)
    assert new.receive() == (channel_data(b"down"), rig.listener)
    old.say(channel_data(b"up"))
    rig.expect_dropped(Reason.NO_ALLOCATION)


def test_the_engine_closes_everything(make: MakeEngine, host: str) -> None:
    engine, relay_address = make(), free_address(host)
    listener = engine.open_listener(1, Address(host, 0))
    engine.open_relay(RelayId(1), relay_address)
    engine.close()
    engine.close()
    successor = make()
    assert successor.open_listener(1, listener) == listener
    successor.open_relay(RelayId(1), relay_address)
