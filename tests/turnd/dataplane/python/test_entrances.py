import math

from fairlead.datagram import Address, FiveTuple, Transport, Via
from turnd.dataplane.contract import EngineSettings, StreamData
from turnd.dataplane.python.bindings import Bindings
from turnd.dataplane.python.entrances import ExactListener, Streams, WildcardListener, open_listener
from turnd.dataplane.python.switchboard import Switchboard

HERE = Address("192.0.2.1", 3478)
FIVE_TUPLE = FiveTuple(Transport.TCP, Address("192.0.2.9", 40000), HERE)


class Owned:
    """A relay socket that nothing is sent by."""

    until = math.inf

    def send_indicated(self, host: int, port: int, data: memoryview) -> None:
        raise AssertionError


def test_a_client_is_remembered_while_it_has_a_relay_socket() -> None:
    streams = Streams(Switchboard())
    client = streams.admit(FIVE_TUPLE)
    assert streams.admit(FIVE_TUPLE) is client
    client.relays[HERE.family] = Owned()
    streams.forget(FIVE_TUPLE)
    assert streams.admit(FIVE_TUPLE) is client
    client.relays.clear()
    streams.forget(FIVE_TUPLE)
    streams.forget(FIVE_TUPLE)
    assert streams.admit(FIVE_TUPLE) is not client


def test_a_stream_takes_copies() -> None:
    switchboard = Switchboard()
    transmit, destination = Streams(switchboard).way_to(FIVE_TUPLE, Via(1, 2))
    buffer = bytearray(b"\x40\x00\x00\x01x")
    transmit(memoryview(buffer), destination)
    buffer[4:] = b"y"
    assert switchboard.take_handed_up() == [StreamData(Via(1, 2), b"\x40\x00\x00\x01x\0\0\0")]


def test_only_a_wildcard_listener_pays_for_asking_where_a_datagram_went() -> None:
    for host, kind in (("127.0.0.1", ExactListener), ("0.0.0.0", WildcardListener)):
        switchboard = Switchboard()
        listener = open_listener(1, Address(host, 0), EngineSettings(), switchboard, Bindings(switchboard, 16))
        listener.socket.close()
        assert type(listener) is kind
        assert listener.address.host == host
