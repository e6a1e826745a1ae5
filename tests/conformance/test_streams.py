"""Clients behind TCP and TLS: their messages are delivered, and bytes for them are handed up."""

import pytest

from fairlead.datagram import Address, Datagram, FiveTuple, Transport, Via
from fairlead.reasons import Reason
from fairlead.stun.attributes import DATA, REQUESTED_TRANSPORT, XOR_PEER_ADDRESS
from fairlead.stun.header import COOKIE_BYTES, Class, Method
from fairlead.stun.message import decode, encode, new_mask
from tests.conformance.conftest import MakeRig
from tests.conformance.kit import IPV6, NUMBER, End, Relay, Rig, channel_data, plain_send, send_indication
from tests.turnd.kit import raw
from turnd.dataplane.contract import Direction, Framing, StreamData

#: A stream of a listener that is not the engine's.
STREAM = Via(70, 7)
ALLOCATE = encode(Method.ALLOCATE, Class.REQUEST, new_mask(bytes(12)), [(REQUESTED_TRANSPORT, 17)])


@pytest.fixture(params=[Transport.TCP, Transport.TLS])
def five_tuple(request: pytest.FixtureRequest, host: str) -> FiveTuple:
    return FiveTuple(request.param, Address(host, 40000), Address(host, 3478))


def call(rig: Rig, five_tuple: FiveTuple) -> tuple[Relay, End]:
    relay, peer = rig.relay(five_tuple, STREAM), rig.peer()
    relay.permit(rig.host)
    relay.bind(NUMBER, peer.address)
    return relay, peer


@pytest.mark.parametrize("data", [b"", b"x", b"four", b"fives", bytes(65000)], ids=len)
def test_channel_data_goes_both_ways_and_is_padded(rig: Rig, five_tuple: FiveTuple, data: bytes) -> None:
    relay, peer = call(rig, five_tuple)
    padded = channel_data(data) + bytes(-len(data) % 4)
    assert not rig.engine.deliver(Datagram(padded, five_tuple, STREAM))
    assert peer.receive() == (data, relay.address)
    peer.send(b"\xff" * 40, relay.address)
    rig.next_handed_up()
    peer.send(data, relay.address)
    assert rig.next_handed_up() == StreamData(STREAM, padded)
    assert rig.passed() == {
        (Direction.TO_PEER, Framing.CHANNEL): (1, len(data)),
        (Direction.TO_CLIENT, Framing.CHANNEL): (2, 40 + len(data)),
    }


def test_indications_go_both_ways(rig: Rig, five_tuple: FiveTuple) -> None:
    relay, peer = rig.relay(five_tuple, STREAM), rig.peer()
    relay.permit(rig.host)
    assert not rig.engine.deliver(Datagram(plain_send(peer.address, b"up"), five_tuple, STREAM))
    assert peer.receive() == (b"up", relay.address)
    peer.send(b"down", relay.address)
    handed_up = rig.next_handed_up()
    assert isinstance(handed_up, StreamData)
    assert handed_up.via == STREAM
    message = decode(handed_up.data)
    assert message.first(XOR_PEER_ADDRESS) == peer.address
    assert message.first(DATA) == b"down"


def test_what_no_data_indication_holds_is_dropped(make_rig: MakeRig) -> None:
    """IPv6 carries datagrams that are longer than what the length of a STUN message has room for."""
    rig = make_rig(IPV6)
    udp = rig.client()
    over_tcp = FiveTuple(Transport.TCP, Address(IPV6, 40000), Address(IPV6, 3478))
    most = 0xFFFC - 28  # the body is a multiple of 4; XOR-PEER-ADDRESS and the header of DATA take 28 bytes
    stream, datagrams = rig.relay(over_tcp, STREAM), rig.relay(udp.five_tuple)
    stream.permit(IPV6)
    datagrams.permit(IPV6)
    peer = rig.peer()
    peer.send(bytes(most + 1), stream.address)
    peer.send(bytes(most + 1), datagrams.address)
    rig.expect_dropped(Reason.TOO_LARGE, 2)
    peer.send(bytes(most), stream.address)
    handed_up = rig.next_handed_up()
    assert isinstance(handed_up, StreamData)
    assert decode(handed_up.data).first(DATA) == bytes(most)


#: A Send indication that ends one byte behind its attributes.
ODD = (
    bytes.fromhex("00160019") + COOKIE_BYTES + bytes(12) + bytes.fromhex("00120008000111111111111100130008") + bytes(9)
)


@pytest.mark.parametrize("message", [ALLOCATE, ODD, b"", b"\x40", b"\x40\0\0", b"\xff" * 30], ids=len)
def test_the_unknown_is_handed_up_as_it_came(rig: Rig, five_tuple: FiveTuple, message: bytes) -> None:
    call(rig, five_tuple)
    datagram = Datagram(message, five_tuple, STREAM)
    assert list(rig.engine.deliver(datagram)) == [datagram]


def test_a_stranger_is_dropped(rig: Rig, five_tuple: FiveTuple) -> None:
    _, peer = call(rig, five_tuple)
    stranger = five_tuple._replace(client=Address(rig.host, 40001))
    assert not rig.engine.deliver(Datagram(channel_data(b"data"), stranger, STREAM))
    rig.expect_dropped(Reason.NO_ALLOCATION, 1)
    assert not rig.engine.deliver(Datagram(plain_send(peer.address, b"data"), stranger, STREAM))
    rig.expect_dropped(Reason.NO_ALLOCATION, 2)


@pytest.mark.parametrize("length", [0, 4, 7])
def test_an_address_that_is_too_short_is_for_the_core(rig: Rig, five_tuple: FiveTuple, length: int) -> None:
    """Nothing stands behind it: a stream's messages come without a buffer around them."""
    rows = [(DATA, b"data"), raw(XOR_PEER_ADDRESS, bytes(length))]
    broken = Datagram(send_indication(*rows), five_tuple, STREAM)
    assert list(rig.engine.deliver(broken)) == [broken]


def test_a_client_whose_relay_socket_is_closed_is_a_stranger(rig: Rig, five_tuple: FiveTuple) -> None:
    relay, _ = call(rig, five_tuple)
    rig.engine.close_relay(relay.number)
    assert not rig.engine.deliver(Datagram(channel_data(b"data"), five_tuple, STREAM))
    rig.expect_dropped(Reason.NO_ALLOCATION)


def test_a_relay_socket_moves_to_another_stream(rig: Rig, five_tuple: FiveTuple) -> None:
    relay, peer = call(rig, five_tuple)
    other = Via(70, 8)
    rig.engine.set_client(relay.number, five_tuple, other)
    peer.send(b"down", relay.address)
    assert rig.next_handed_up() == StreamData(other, channel_data(b"down"))


def test_a_relay_socket_moves_between_udp_and_a_stream(rig: Rig, five_tuple: FiveTuple) -> None:
    client, relay, peer = rig.call()
    rig.engine.set_client(relay.number, five_tuple, STREAM)
    peer.send(b"down", relay.address)
    assert rig.next_handed_up() == StreamData(STREAM, channel_data(b"down"))
    client.say(channel_data(b"data"))
    rig.expect_dropped(Reason.NO_ALLOCATION)


def test_a_stream_and_a_datagram_client_meet(rig: Rig, five_tuple: FiveTuple) -> None:
    client = rig.client()
    streams, datagrams = rig.relay(five_tuple, STREAM), rig.relay(client.five_tuple)
    for relay, other in ((streams, datagrams), (datagrams, streams)):
        relay.permit(rig.host)
        relay.bind(NUMBER, other.address)
    rig.engine.deliver(Datagram(channel_data(b"abc") + b"\0", five_tuple, STREAM))
    assert client.receive() == (channel_data(b"abc"), rig.listener)
    client.say(channel_data(b"abc"))
    assert rig.next_handed_up() == StreamData(STREAM, channel_data(b"abc") + b"\0")
