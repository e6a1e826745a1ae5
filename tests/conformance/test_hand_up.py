"""What the engine does not know goes up unchanged, and what the core answers goes back the way it came."""

import socket

import pytest

from fairlead.datagram import Address, Datagram, FiveTuple, Transport, Via
from fairlead.reasons import Reason
from fairlead.stun.attributes import DATA, REQUESTED_TRANSPORT, SOFTWARE
from fairlead.stun.header import LARGEST_REQUEST, Class, Method
from fairlead.stun.message import encode, new_mask
from tests.conformance.conftest import MakeEngine, MakeRig
from tests.conformance.kit import IPV4, IPV6, LISTENER, LONGEST, VIA, Client, Rig, channel_data, message_of
from tests.skipping import skip_for_lack_of

ALLOCATE = encode(Method.ALLOCATE, Class.REQUEST, new_mask(bytes(12)), [(REQUESTED_TRANSPORT, 17)])
UNKNOWN = {
    "allocate": ALLOCATE,
    "binding": encode(Method.BINDING, Class.REQUEST, new_mask(bytes(12)), [(SOFTWARE, "x")], with_fingerprint=True),
    "attribute beyond the end": encode(Method.BINDING, Class.REQUEST, new_mask(bytes(12)), [(DATA, b"data")])[:-5]
    + b"\xffdata",
}
JUNK = {
    "empty": b"",
    "one byte": b"\x40",
    "three bytes": b"\x40\x00\x00",
    "digits": b"0123456789",
    "dtls": b"\x16\xfe\xfd" + bytes(60),
    "rtp": b"\x80\x60" + bytes(170),
    "all ones": b"\xff" * 100,
    "zeros": bytes(100),
    "no cookie": bytes(20),
}


@pytest.mark.parametrize("kind", UNKNOWN)
@pytest.mark.parametrize("known", [False, True], ids=["stranger", "client"])
def test_the_unknown_is_handed_up_as_it_came(rig: Rig, kind: str, known: bool) -> None:
    client = rig.call()[0] if known else rig.client()
    client.say(UNKNOWN[kind])
    assert rig.next_handed_up() == Datagram(UNKNOWN[kind], client.five_tuple, VIA)
    assert not rig.all_dropped()
    rig.expect_silence()


@pytest.mark.parametrize("kind", JUNK)
@pytest.mark.parametrize("known", [False, True], ids=["stranger", "client"])
def test_junk_is_handed_up_or_dropped_for_what_is_wrong_with_it(rig: Rig, kind: str, known: bool) -> None:
    client = rig.call()[0] if known else rig.client()
    rig.expect_junk(JUNK[kind], client)


def test_short_messages_show_nothing_of_earlier_ones(rig: Rig) -> None:
    client, _, peer = rig.call()
    client.say(channel_data(b"data"))
    peer.receive()
    for message in (b"", b"\x40", b"\x40\x00\x00"):
        rig.expect_junk(message, client)


def test_the_longest_datagram_of_a_client_is_handed_up_whole(rig: Rig) -> None:
    client, _, _ = rig.call()
    longest = message_of(LONGEST[rig.host] & ~3)
    client.say(longest)
    assert rig.next_handed_up() == Datagram(longest, client.five_tuple, VIA)


def test_a_stranger_has_not_so_much_to_say(rig: Rig) -> None:
    """Each attribute of a request costs the core time, and nobody has to be known to send thousands of them."""
    client = rig.client()
    client.say(message_of(LARGEST_REQUEST))
    assert rig.next_handed_up() == Datagram(message_of(LARGEST_REQUEST), client.five_tuple, VIA)
    client.say(message_of(LARGEST_REQUEST + 4))
    rig.expect_dropped(Reason.TOO_LARGE)
    rig.expect_junk(message_of(LARGEST_REQUEST + 4) + b"more", client)


def test_the_answer_comes_from_where_the_question_went(rig: Rig) -> None:
    client = rig.client()
    client.say(ALLOCATE)
    asked = rig.next_handed_up()
    assert isinstance(asked, Datagram)
    rig.engine.send([(asked.via, asked.five_tuple, b"answer")])
    assert client.receive() == (b"answer", rig.listener)


@pytest.mark.parametrize("family", [IPV4, IPV6])
def test_a_wildcard_listener_knows_which_address_was_written_to(make_rig: MakeRig, family: str) -> None:
    rig = make_rig(family)
    number, hosts = 7, ["127.0.0.1", "127.0.0.2"] if family == IPV4 else [IPV6]
    bound = rig.engine.open_listener(number, Address("0.0.0.0" if family == IPV4 else "::", 0))
    client = rig.client()
    for host in hosts:
        server = Address(host, bound.port)
        client.send(ALLOCATE, server)
        asked = rig.next_handed_up()
        five_tuple = FiveTuple(Transport.UDP, client.address, server)
        assert asked == Datagram(ALLOCATE, five_tuple, Via(number))
        rig.engine.send([(Via(number), five_tuple, b"answer")])
        assert client.receive() == (b"answer", server)


@pytest.mark.parametrize("family", [IPV4, IPV6])
def test_a_wildcard_listener_relays(make_rig: MakeRig, family: str) -> None:
    rig = make_rig(family)
    bound = rig.engine.open_listener(7, Address("0.0.0.0" if family == IPV4 else "::", 0))
    client, peer, server = rig.client(), rig.peer(), Address(family, bound.port)
    relay = rig.relay(FiveTuple(Transport.UDP, client.address, server), Via(7))
    relay.permit(family)
    relay.bind(0x4000, peer.address)
    client.send(channel_data(b"up"), server)
    assert peer.receive() == (b"up", relay.address)
    peer.send(b"down", relay.address)
    assert client.receive() == (channel_data(b"down"), server)


def test_a_client_is_known_by_its_whole_5_tuple(make_rig: MakeRig) -> None:
    rig = make_rig()
    bound = rig.engine.open_listener(7, Address("0.0.0.0", 0))
    client, peer = rig.client(), rig.peer()
    here, there = Address("127.0.0.1", bound.port), Address("127.0.0.2", bound.port)
    relay = rig.relay(FiveTuple(Transport.UDP, client.address, there), Via(7))
    relay.permit(IPV4)
    relay.bind(0x4000, peer.address)
    client.send(channel_data(b"up"), here)
    rig.expect_dropped(Reason.NO_ALLOCATION)
    client.send(channel_data(b"up"), there)
    assert peer.receive() == (b"up", relay.address)
    peer.send(b"down", relay.address)
    assert client.receive() == (channel_data(b"down"), there)


def test_many_answers_reach_their_clients_each_in_its_order(rig: Rig) -> None:
    clients = [rig.client() for _ in range(5)]
    texts = [bytes([number]) * (1 + number % 3) for number in range(100)]
    answers = [(VIA, client.five_tuple, text) for text in texts for client in clients]
    rig.engine.send([(Via(77), clients[0].five_tuple, b"lost"), *answers])
    for client in clients:
        assert [client.receive() for _ in texts] == [(text, rig.listener) for text in texts]
    rig.expect_dropped(Reason.UNREACHABLE)


def test_a_listener_that_is_closed_is_silent(rig: Rig) -> None:
    client, relay, peer = rig.call()
    rig.engine.close_listener(LISTENER)
    rig.engine.close_listener(LISTENER)
    rig.engine.send([(VIA, client.five_tuple, b"answer")])
    peer.send(b"down", relay.address)
    rig.expect_dropped(Reason.UNREACHABLE, 2)


def test_an_address_can_be_listened_on_once(make: MakeEngine, host: str) -> None:
    engine = make()
    bound = engine.open_listener(1, Address(host, 0))
    with pytest.raises(OSError, match="in use"):
        engine.open_listener(2, bound)
    with pytest.raises(ValueError, match="1"):
        engine.open_listener(1, Address(host, 0))
    engine.close_listener(1)
    assert engine.open_listener(2, bound) == bound


def test_source_port_zero_is_dropped(make_rig: MakeRig) -> None:
    rig = make_rig()
    _, relay, _ = rig.call()
    _send_from_port_zero(ALLOCATE, rig.listener)
    rig.expect_dropped(Reason.PORT_ZERO, 1)
    _send_from_port_zero(b"data", relay.address)
    rig.expect_dropped(Reason.PORT_ZERO, 2)


def _send_from_port_zero(data: bytes, destination: Address) -> None:
    try:
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    except PermissionError:
        skip_for_lack_of("CAP_NET_RAW, which port 0 takes", enable="run the tests as root")
    with raw:
        header = bytes(2) + destination.port.to_bytes(2) + (8 + len(data)).to_bytes(2) + bytes(2)
        raw.sendto(header + data, (destination.host, 0))


def test_an_answer_that_is_too_long_is_dropped(rig: Rig) -> None:
    client: Client = rig.client()
    rig.engine.send([(VIA, client.five_tuple, bytes(70000))])
    rig.expect_dropped(Reason.TOO_LARGE)
