"""Send and Data indications (RFC 8656 section 11)."""

import zlib

import pytest

from fairlead.datagram import Address, Datagram
from fairlead.reasons import Reason
from fairlead.stun.attributes import DATA, DONT_FRAGMENT, ICMP, SOFTWARE, XOR_PEER_ADDRESS, Attribute, Icmp
from fairlead.stun.header import Class, Method
from fairlead.stun.integrity import FINGERPRINT_XOR, SHA1
from fairlead.stun.message import Signature, decode, encode, new_mask
from tests.conformance.conftest import MakeRig
from tests.conformance.kit import IPV4, IPV6, LONGEST, NUMBER, VIA, Rig, channel_data, plain_send, send_indication
from turnd.dataplane.contract import Direction, Framing

UP = (Direction.TO_PEER, Framing.INDICATION)
DOWN = (Direction.TO_CLIENT, Framing.INDICATION)

SOMEBODY = {IPV4: Address(IPV4, 9), IPV6: Address(IPV6, 9)}


def read_data(indication: bytes) -> tuple[Address | None, bytes | None]:
    """Peer and data of a Data indication, which must hold them and nothing else, and no byte that is not its own."""
    message = decode(indication)
    assert (message.method, message.message_class) == (Method.DATA, Class.INDICATION)
    assert [raw.type for raw in message.visible] == [XOR_PEER_ADDRESS.type, DATA.type]
    peer, data = message.first(XOR_PEER_ADDRESS), message.first(DATA)
    again = encode(Method.DATA, Class.INDICATION, message.mask, [(XOR_PEER_ADDRESS, peer), (DATA, data)])
    assert again == indication, "the padding is zero"
    return peer, data


@pytest.mark.parametrize("fingerprint", [False, True], ids=["bare", "fingerprint"])
@pytest.mark.parametrize("data", [b"", b"x", b"four", b"fives", b"sixsix", bytes(1172)], ids=len)
def test_a_plain_send_is_forwarded(rig: Rig, data: bytes, fingerprint: bool) -> None:
    client, peer = rig.client(), rig.peer()
    relay = rig.relay(client.five_tuple)
    relay.permit(peer.address.host)
    client.say(plain_send(peer.address, data, fingerprint))
    client.say(send_indication((DATA, data), (XOR_PEER_ADDRESS, peer.address), fingerprint=fingerprint))
    assert peer.receive() == (data, relay.address)
    assert peer.receive() == (data, relay.address)
    assert rig.passed() == {UP: (2, 2 * len(data))}
    rig.expect_silence()


@pytest.mark.parametrize("data", [b"", b"x", b"four", b"fives", b"sixsix", bytes(1172)], ids=len)
def test_a_peers_packet_becomes_a_data_indication(rig: Rig, data: bytes) -> None:
    client, peer = rig.client(), rig.peer()
    relay = rig.relay(client.five_tuple)
    relay.permit(peer.address.host)
    peer.send(b"\xff" * 2000, relay.address)
    client.receive()
    peer.send(data, relay.address)
    indication, source = client.receive()
    assert read_data(indication) == (peer.address, data)
    assert source == rig.listener
    assert rig.passed() == {DOWN: (2, 2000 + len(data))}


def test_the_longest_data_passes(rig: Rig) -> None:
    client, peer = rig.client(), rig.peer()
    relay = rig.relay(client.five_tuple)
    relay.permit(peer.address.host)
    framing = len(plain_send(peer.address, b""))
    longest = (bytes(range(256)) * 256)[: (LONGEST[rig.host] - framing) & ~3]
    client.say(plain_send(peer.address, longest))
    assert peer.receive() == (longest, relay.address)
    peer.send(longest, relay.address)
    assert read_data(client.receive()[0]) == (peer.address, longest)
    peer.send(longest + b"more", relay.address)
    rig.expect_dropped(Reason.TOO_LARGE)


def test_transaction_ids_are_never_the_same(rig: Rig) -> None:
    client, peer = rig.client(), rig.peer()
    relay = rig.relay(client.five_tuple)
    relay.permit(peer.address.host)
    seen = set()
    for _ in range(100):
        peer.send(b"data", relay.address)
        seen.add(decode(client.receive()[0]).transaction_id)
    assert len(seen) == 100


def test_a_permission_is_for_every_port_of_its_host_and_for_no_other_host(rig: Rig) -> None:
    client, first, second = rig.client(), rig.peer(), rig.peer()
    relay = rig.relay(client.five_tuple)
    relay.permit(rig.host)
    for peer in (first, second):
        client.say(plain_send(peer.address, b"up"))
        assert peer.receive() == (b"up", relay.address)
        peer.send(b"down", relay.address)
        assert read_data(client.receive()[0]) == (peer.address, b"down")


def test_without_a_permission_nothing_passes(rig: Rig) -> None:
    client, peer = rig.client(), rig.peer()
    relay = rig.relay(client.five_tuple)
    relay.permit("192.0.2.1" if rig.host == IPV4 else "2001:db8::1")
    client.say(plain_send(peer.address, b"up"))
    rig.expect_dropped(Reason.NO_PERMISSION, 1)
    peer.send(b"down", relay.address)
    rig.expect_dropped(Reason.NO_PERMISSION, 2)


def test_a_permission_that_is_cleared_is_gone(rig: Rig) -> None:
    client, peer = rig.client(), rig.peer()
    relay = rig.relay(client.five_tuple)
    rig.engine.clear_route(relay.permit(rig.host))
    client.say(plain_send(peer.address, b"up"))
    rig.expect_dropped(Reason.NO_PERMISSION, 1)
    peer.send(b"down", relay.address)
    rig.expect_dropped(Reason.NO_PERMISSION, 2)


def test_nothing_is_sent_to_port_zero(rig: Rig) -> None:
    client = rig.client()
    rig.relay(client.five_tuple).permit(rig.host)
    client.say(plain_send(Address(rig.host, 0), b"up"))
    rig.expect_dropped(Reason.PORT_ZERO)


def test_a_stranger_sends_nothing(rig: Rig) -> None:
    _, _, peer = rig.call()
    rig.client().say(plain_send(peer.address, b"up"))
    rig.expect_dropped(Reason.NO_ALLOCATION)


def test_a_peer_of_the_other_family_is_out_of_reach(rig: Rig) -> None:
    client, _, _ = rig.call()
    client.say(plain_send(SOMEBODY[IPV6 if rig.host == IPV4 else IPV4], b"up"))
    rig.expect_dropped(Reason.PEER_FAMILY)


def test_a_client_with_both_families_uses_each(make_rig: MakeRig) -> None:
    rig = make_rig(IPV6)
    client = rig.client()
    for host in (IPV4, IPV6):
        relay, peer = rig.relay(client.five_tuple, host=host), rig.peer(host)
        relay.permit(host)
        client.say(plain_send(peer.address, b"up"))
        assert peer.receive() == (b"up", relay.address)
        peer.send(b"down", relay.address)
        assert read_data(client.receive()[0]) == (peer.address, b"down")


def test_the_families_of_one_client_end_apart(make_rig: MakeRig) -> None:
    rig = make_rig(IPV6)
    client, relays, peers = rig.client(), {}, {}
    for number, host in enumerate((IPV4, IPV6), start=NUMBER):
        relays[host], peers[host] = rig.relay(client.five_tuple, host=host), rig.peer(host)
        relays[host].permit(host)
        relays[host].bind(number, peers[host].address)
    rig.engine.close_relay(relays[IPV4].number)
    client.say(channel_data(b"up", NUMBER))
    rig.expect_dropped(Reason.NO_CHANNEL)
    client.say(plain_send(peers[IPV4].address, b"up"))
    rig.expect_dropped(Reason.PEER_FAMILY, before={Reason.NO_CHANNEL: 1})
    client.say(channel_data(b"up", NUMBER + 1))
    assert peers[IPV6].receive() == (b"up", relays[IPV6].address)


def _unusual(host: str) -> dict[str, bytes]:
    """What is no plain Send, if only just."""
    peer = (XOR_PEER_ADDRESS, SOMEBODY[host])
    data = (DATA, b"data")
    plain = send_indication(peer, data)
    stamped = send_indication(peer, data, fingerprint=True)
    mask = new_mask(bytes(12))
    short_fingerprint = Attribute(0x8028, "short", DATA.kind)
    peer_end = len(send_indication(peer))
    return {
        "dont-fragment": send_indication(peer, data, (DONT_FRAGMENT, True)),
        "software": send_indication(peer, data, (SOFTWARE, "tests")),
        "software between": send_indication(peer, (SOFTWARE, "tests"), data),
        "icmp": send_indication(peer, data, (ICMP, Icmp(3, 1))),
        "two peers": send_indication(peer, peer, data),
        "two data": send_indication(peer, data, data),
        "no peer": send_indication(data),
        "no data": send_indication(peer),
        "nothing": send_indication(),
        "only a fingerprint": send_indication(fingerprint=True),
        "integrity": encode(Method.SEND, Class.INDICATION, mask, (peer, data), Signature(SHA1, b"key")),
        "wrong fingerprint": stamped[:-1] + bytes([stamped[-1] ^ 1]),
        "short fingerprint": send_indication(peer, data, (short_fingerprint, b"ab")),
        "fingerprint first": stamped[:peer_end] + stamped[-8:] + stamped[peer_end:-8],
        "fingerprint between": _stamped_between(plain, peer_end),
        "request": encode(Method.SEND, Class.REQUEST, mask, (peer, data)),
        "data indication": encode(Method.DATA, Class.INDICATION, mask, (peer, data)),
        "attribute beyond the end": plain[:-5] + b"\xff" + plain[-4:],
        "unknown family": plain[:25] + b"\x03" + plain[26:],
        "family without its length": plain[:25] + (b"\x02" if host == IPV4 else b"\x01") + plain[26:],
    }


def _broken(host: str) -> dict[str, bytes]:
    """What has lost the header of a STUN message."""
    plain = send_indication((XOR_PEER_ADDRESS, SOMEBODY[host]), (DATA, b"data"))
    return {
        "wrong cookie": plain[:4] + b"\0" + plain[5:],
        "length too small": plain[:3] + bytes([plain[3] - 4]) + plain[4:],
        "length too great": plain[:3] + bytes([plain[3] + 4]) + plain[4:],
        "length no multiple": plain[:3] + bytes([plain[3] + 1]) + plain[4:] + b"\0",
        "trailing bytes": plain + bytes(4),
        "only a header": plain[:20],
        "less than a header": plain[:19],
    }


def _stamped_between(plain: bytes, end: int) -> bytes:
    """A message with a FINGERPRINT at `end` that is right about the bytes in front of it."""
    head = plain[:3] + bytes([plain[3] + 8]) + plain[4:end]
    return head + b"\x80\x28\x00\x04" + (zlib.crc32(head) ^ FINGERPRINT_XOR).to_bytes(4) + plain[end:]


@pytest.mark.parametrize("kind", _unusual(IPV4))
def test_what_is_not_plain_is_handed_up_as_it_came(rig: Rig, kind: str) -> None:
    client, relay, _ = rig.call()
    relay.permit(rig.host)
    message = _unusual(rig.host)[kind]
    client.say(message)
    assert rig.next_handed_up() == Datagram(message, client.five_tuple, VIA)
    assert not rig.passed()
    assert not rig.all_dropped()
    rig.expect_silence()


@pytest.mark.parametrize("kind", _broken(IPV4))
def test_what_is_broken_is_junk(rig: Rig, kind: str) -> None:
    client, relay, _ = rig.call()
    relay.permit(rig.host)
    message = _broken(rig.host)[kind]
    rig.expect_junk(message, client)
    assert not rig.passed()


ADVERTISED = {IPV4: "203.0.113.7", IPV6: "2001:db8:7::1"}


def test_clients_write_and_read_the_advertised_host(make_rig: MakeRig, host: str) -> None:
    rig = make_rig(host, aliases={ADVERTISED[host]: host})
    client, peer = rig.client(), rig.peer()
    relay = rig.relay(client.five_tuple)
    relay.permit(host)
    written = Address(ADVERTISED[host], peer.address.port)
    client.say(plain_send(written, b"up"))
    assert peer.receive() == (b"up", relay.address)
    peer.send(b"down", relay.address)
    assert read_data(client.receive()[0]) == (written, b"down")
    client.say(plain_send(peer.address, b"by its bound name"))
    assert peer.receive() == (b"by its bound name", relay.address)


def test_an_alias_without_a_permission_opens_nothing(make_rig: MakeRig, host: str) -> None:
    rig = make_rig(host, aliases={ADVERTISED[host]: host})
    client, peer = rig.client(), rig.peer()
    relay = rig.relay(client.five_tuple)
    rig.engine.clear_route(relay.permit(host))
    client.say(plain_send(Address(ADVERTISED[host], peer.address.port), b"up"))
    rig.expect_dropped(Reason.NO_PERMISSION)


def test_the_core_sends_by_the_same_rules(rig: Rig) -> None:
    relay, peer = rig.relay(rig.client().five_tuple), rig.peer()
    send = rig.engine.send_from_relay
    send(relay.number, peer.address, b"early", False)
    rig.expect_dropped(Reason.NO_PERMISSION)
    relay.permit(rig.host)
    send(relay.number, peer.address, b"data", False)
    assert peer.receive() == (b"data", relay.address)
    send(relay.number, peer.address, b"unfragmented", True)
    assert peer.receive() == (b"unfragmented", relay.address)
    send(relay.number, Address(rig.host, 0), b"", False)
    assert rig.all_dropped() == {Reason.NO_PERMISSION: 1, Reason.PORT_ZERO: 1}
    assert rig.passed() == {UP: (2, 16)}
    rig.engine.close_relay(relay.number)
    send(relay.number, peer.address, b"late", False)
    assert rig.all_dropped() == {Reason.NO_PERMISSION: 1, Reason.PORT_ZERO: 1, Reason.NO_ALLOCATION: 1}


def test_a_denied_peer_is_out_of_reach_whatever_its_host_is_permitted(rig: Rig) -> None:
    client, relay, peer = rig.call()
    denied = rig.peer()
    rig.engine.deny([denied.address])
    client.say(plain_send(denied.address, b"data"))
    rig.expect_dropped(Reason.PEER_DENIED, 1)
    rig.engine.send_from_relay(relay.number, denied.address, b"data", True)
    rig.expect_dropped(Reason.PEER_DENIED, 2)
    denied.send(b"data", relay.address)
    rig.expect_dropped(Reason.PEER_DENIED, 3)
    client.say(plain_send(peer.address, b"data"))
    assert peer.receive() == (b"data", relay.address)
    rig.engine.deny([peer.address])
    client.say(plain_send(denied.address, b"data"))
    assert denied.receive() == (b"data", relay.address)
