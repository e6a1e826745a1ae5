"""What the peer policy says of every kind of address by default, and what an operator's entries make of it."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fairlead.datagram import Address, unpack_host
from tests.turnd.protocol.encodings import ENCODINGS, SPECIAL_IPV4, SPECIAL_IPV6
from turnd.protocol.peer_policy import PeerClass, PeerPolicy, Verdict
from turnd.routes import Ports

DEFAULT = PeerPolicy.parse()
PUBLIC = Verdict(True, Ports.ANY, PeerClass.PUBLIC)
ALLOWED = Verdict(True, Ports.ANY, PeerClass.CUSTOM)
DENIED = Verdict(False, Ports.ANY, PeerClass.CUSTOM)
OWN_RELAY = Verdict(True, Ports.OWN_RELAYED, PeerClass.OWN_RELAY)
OWN_LISTENER = Verdict(False, Ports.ANY, PeerClass.OWN_LISTENER)

SPECIAL = {ip_network(text): peer_class for text, peer_class in (SPECIAL_IPV4 | SPECIAL_IPV6).items()}
ipv4_hosts = st.ip_addresses(v=4) | st.sampled_from(list(SPECIAL_IPV4)).map(
    lambda text: IPv4Address(text.split("/")[0])
)


def special_class(address: IPv4Address | IPv6Address) -> PeerClass | None:
    """The class of the narrowest special network around an address."""
    around = [network for network in SPECIAL if address in network]
    return SPECIAL[max(around, key=lambda network: network.prefixlen)] if around else None


@pytest.mark.parametrize("network", SPECIAL, ids=str)
def test_special_addresses_are_denied_from_the_first_to_the_last(network: IPv4Network | IPv6Network) -> None:
    first, last = int(network[0]), int(network[-1])
    for number in {first, min(first + 1, last), (first + last) // 2, max(last - 1, first), last}:
        address = type(network[0])(number)
        verdict = DEFAULT.judge(str(address))
        assert not verdict.allowed
        # In the local NAT64 prefix the address inside may give the reason.
        assert verdict.peer_class == special_class(address) or network == ip_network("64:ff9b:1::/48")


@pytest.mark.parametrize("network", SPECIAL_IPV4)
def test_what_lies_beside_a_special_ipv4_network_is_judged_by_itself(network: str) -> None:
    first, last = int(ip_network(network)[0]), int(ip_network(network)[-1])
    for number in (first - 1, last + 1):
        if 0 <= number < 1 << 32:
            address = IPv4Address(number)
            assert DEFAULT.judge(str(address)).peer_class == (special_class(address) or PeerClass.PUBLIC)


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("network", SPECIAL_IPV4)
def test_every_encoding_of_a_special_ipv4_address_is_denied(network: str, name: str) -> None:
    for plain in (ip_network(network)[0], ip_network(network)[-1]):
        assert isinstance(plain, IPv4Address)
        verdict = DEFAULT.judge(str(ENCODINGS[name](plain)))
        assert not verdict.allowed


@pytest.mark.parametrize("name", ["mapped", "compatible", "translated", "nat64"])
def test_an_encoded_public_address_is_as_public_as_the_plain_one(name: str) -> None:
    assert DEFAULT.judge(str(ENCODINGS[name](IPv4Address("8.8.8.8")))) == PUBLIC


@pytest.mark.parametrize("host", ["::2", "::3", "::ffff", "::ff:ffff", "::ffff:0.0.0.0", "64:ff9b::"])
def test_what_lies_beside_the_ipv6_loopback_is_this_network_in_another_form(host: str) -> None:
    assert DEFAULT.judge(host).peer_class is PeerClass.UNSPECIFIED


@pytest.mark.parametrize(
    ("name", "peer_class"),
    [
        ("teredo", PeerClass.TEREDO),
        ("six_to_four", PeerClass.SIX_TO_FOUR),
        ("local_nat64", PeerClass.NAT64),
    ],
)
def test_rfc8656_21_4_tunnels_are_refused(name: str, peer_class: PeerClass) -> None:
    assert DEFAULT.judge(str(ENCODINGS[name](IPv4Address("8.8.8.8")))) == Verdict(False, Ports.ANY, peer_class)


@pytest.mark.parametrize("last_byte", range(0, 256, 5))
def test_a_mapped_loopback_is_loopback_whatever_it_ends_in(last_byte: int) -> None:
    """A server that looked for the form of ::1 before that of a mapped address let ::ffff:127.0.0.1 pass."""
    for host in (f"::ffff:127.0.0.{last_byte}", f"::127.0.0.{last_byte}", f"64:ff9b::7f00:{last_byte:x}"):
        assert DEFAULT.judge(host).peer_class is PeerClass.LOOPBACK


@pytest.mark.parametrize(
    "host",
    [
        *("8.8.8.8", "1.1.1.1", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "223.255.255.255"),
        *("2600::1", "2a00:1450::1", "2001:200::1", "2003::", "3ffe::", "2001:db7::1", "2001:db9::1"),
    ],
)
def test_public_addresses_are_allowed(host: str) -> None:
    assert DEFAULT.judge(host) == PUBLIC


@given(st.ip_addresses(v=4))
@example(IPv4Address("192.0.0.9"))
@example(IPv4Address("168.63.129.16"))
def test_the_default_against_the_standard_library_ipv4(address: IPv4Address) -> None:
    is_open = address.is_global and not address.is_multicast and special_class(address) is None
    assert DEFAULT.judge(str(address)).allowed is is_open


@given(st.ip_addresses(v=6) | st.integers(0x2000 << 112, (0x4000 << 112) - 1).map(IPv6Address))
def test_the_default_against_the_standard_library_ipv6(address: IPv6Address) -> None:
    if int(address) >> 32 in {int(encode(IPv4Address(0))) >> 32 for encode in ENCODINGS.values()}:
        return
    is_open = address in ip_network("2000::/3") and address.is_global and special_class(address) is None
    is_open = is_open and address not in ip_network("2001::/23")
    assert DEFAULT.judge(str(address)).allowed is is_open


@given(st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16), st.none() | st.integers(0, 65535))
def test_every_address_has_a_verdict(packed: bytes, port: int | None) -> None:
    verdict = DEFAULT.judge(unpack_host(packed), port)
    assert verdict.allowed is (verdict.peer_class is PeerClass.PUBLIC)


@pytest.mark.parametrize(
    ("word", "opened", "closed"),
    [
        ("loopback", ["127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.1"], ["10.0.0.1", "0.0.0.1", "::"]),
        ("private", ["10.0.0.1", "192.168.1.1", "fec0::1"], ["fd00::1", "100.64.0.1", "2002:a00:1::"]),
        ("unique_local", ["fd00::1", "fc00::1"], ["fd00:ec2::254", "fd20:ce::254", "fe80::1"]),
        ("link_local", ["169.254.1.1", "fe80::1"], ["169.254.169.254"]),
        ("cgnat", ["100.64.0.1"], ["100.100.100.200"]),
        ("metadata", ["169.254.169.254", "fd00:ec2::254"], ["169.254.1.1"]),
        ("documentation", ["192.0.2.1", "2001:db8::1"], ["198.18.0.1"]),
        ("nat64", ["64:ff9b:1::8.8.8.8"], ["64:ff9b:1::10.0.0.1", "64:ff9b:1::127.0.0.1"]),
    ],
)
def test_a_class_word_opens_its_class_alone(word: str, opened: list[str], closed: list[str]) -> None:
    policy = PeerPolicy.parse(allow=[word])
    assert all(policy.judge(host).allowed for host in opened)
    assert not any(policy.judge(host).allowed for host in closed)


def test_a_relay_that_serves_its_own_network_only() -> None:
    policy = PeerPolicy.parse(deny=["public"], allow=["10.0.0.0/8"])
    assert policy.judge("10.1.2.3") == ALLOWED
    assert policy.judge("8.8.8.8") == policy.judge("2600::1") == policy.judge("::ffff:8.8.8.8") == DENIED


@pytest.mark.parametrize(
    ("entry", "inside", "outside"),
    [
        ("10.1.2.3", ["10.1.2.3"], ["10.1.2.2", "10.1.2.4"]),
        ("10.1.2.0/24", ["10.1.2.0", "10.1.2.255"], ["10.1.1.255", "10.1.3.0"]),
        ("10.1.2.7-10.1.3.9", ["10.1.2.7", "10.1.2.255", "10.1.3.9"], ["10.1.2.6", "10.1.3.10"]),
        (" 10.1.2.7 - 10.1.2.9 ", ["10.1.2.8"], ["10.1.2.6", "10.1.2.10"]),
        ("fd00::5-fd00::1:2", ["fd00::5", "fd00::1:0", "fd00::1:2"], ["fd00::4", "fd00::1:3"]),
        ("FD00::/64", ["fd00::ffff"], ["fd00:0:0:1::"]),
        ("0.0.0.0/0", ["10.0.0.1", "8.8.8.8"], ["0.0.0.0", "224.0.0.1", "255.255.255.255"]),
    ],
)
def test_the_forms_of_an_entry(entry: str, inside: list[str], outside: list[str]) -> None:
    allowing = PeerPolicy.parse(allow=[entry])
    assert all(allowing.judge(host) == ALLOWED for host in inside)
    assert not any(allowing.judge(host).allowed for host in outside)
    denying = PeerPolicy.parse(deny=[entry], allow=["0.0.0.0/0", "::/0"])
    assert all(denying.judge(host) == DENIED for host in inside)
    assert not any(denying.judge(host) == DENIED for host in outside)


@pytest.mark.parametrize(
    ("entry", "remedy"),
    [
        ("10.0.0.1/8", "write 10.0.0.0/8"),
        ("redis.internal", "write an IP address"),
        ("", "write an IP address"),
        ("Loopback", "write one of benchmarking, broadcast, cgnat, documentation, link_local, loopback, metadata"),
        ("own_relay", "write one of"),
        ("custom", "write one of"),
        ("::ffff:10.0.0.5", "write 10.0.0.5, which stands for all forms"),
        ("::ffff:10.0.0.0/104", "write 10.0.0.0-10.255.255.255"),
        ("64:ff9b::a00:1-64:ff9b::a00:9", "write 10.0.0.1-10.0.0.9"),
        ("::2", "write 0.0.0.2"),
    ],
)
@pytest.mark.parametrize("key", ["allow", "deny"])
def test_an_entry_that_means_nothing_is_refused_with_the_remedy(key: str, entry: str, remedy: str) -> None:
    with pytest.raises(ValueError) as caught:
        PeerPolicy.parse(**{key: [entry]})  # type: ignore[arg-type]
    assert remedy in str(caught.value)
    assert repr(entry) in str(caught.value)


@pytest.mark.parametrize("entry", ["::ffff:0:0/96", "64:ff9b::/96", "2002::/16", "2001::/32", "::1", "224.0.0.0/4"])
def test_entries_of_other_servers_deny_lists_are_taken(entry: str) -> None:
    policy = PeerPolicy.parse(deny=[entry])
    assert not policy.judge(entry.partition("/")[0]).allowed
    assert policy.judge("8.8.8.8") == PUBLIC


@pytest.mark.parametrize(
    "entry",
    ["multicast", "teredo", "six_to_four", "unspecified", "broadcast", "0.0.0.0", "::", "239.1.2.3", "2002::/17"],
)
def test_what_nobody_may_open_is_refused_where_it_would_do_nothing(entry: str) -> None:
    with pytest.raises(ValueError, match="never relayed to, whatever is configured; remove it"):
        PeerPolicy.parse(allow=[entry])
    assert not PeerPolicy.parse(deny=[entry]).judge("::").allowed


def test_own_relay_addresses_are_reached_at_relayed_ports_only() -> None:
    policy = PeerPolicy.parse(own_relays=["10.0.0.5", "2600::5", "127.0.0.1"])
    for host in ("10.0.0.5", "2600::5", "127.0.0.1"):
        assert policy.judge(host) == policy.judge(host, 50000) == OWN_RELAY
    assert policy.judge("::ffff:10.0.0.5") == OWN_RELAY
    assert policy.judge("10.0.0.6").peer_class is PeerClass.PRIVATE
    assert PeerPolicy.parse(deny=["10.0.0.5"], own_relays=["10.0.0.5"]).judge("10.0.0.5") == DENIED
    assert PeerPolicy.parse(allow=["private"], own_relays=["10.0.0.5"]).judge("10.0.0.5") == ALLOWED


def test_no_other_port_of_this_machine_is_reached() -> None:
    """Where nothing of ours listens, something else may; who wants that reached says so."""
    own = ["8.8.4.4", "2600::5", "127.0.0.1"]
    policy = PeerPolicy.parse(own_hosts=own)
    for host in (*own[:2], "::ffff:8.8.4.4", "64:ff9b::808:404"):
        assert policy.judge(host) == policy.judge(host, 5432) == Verdict(False, Ports.ANY, PeerClass.OWN_HOST)
    assert policy.judge("127.0.0.1").peer_class is PeerClass.LOOPBACK
    assert policy.judge("8.8.4.5").allowed
    assert PeerPolicy.parse(own_hosts=own, allow=["8.8.4.4"]).judge("8.8.4.4", 5432).allowed
    relaying = PeerPolicy.parse(own_hosts=own, own_relays=["8.8.4.4"])
    assert relaying.judge("8.8.4.4").ports is Ports.OWN_RELAYED


def test_own_listeners_are_never_reached() -> None:
    listeners = [Address("10.0.0.5", 3478), Address("8.8.4.4", 3478), Address("2600::5", 3478)]
    open_house = PeerPolicy.parse(
        allow=["0.0.0.0/0", "::/0"], own_relays=["10.0.0.5", "2600::5"], own_listeners=listeners
    )
    for host, port in listeners:
        assert open_house.judge(host, port) == OWN_LISTENER
        assert open_house.judge(host, 3479) == open_house.judge(host) == ALLOWED
    for encode in (ENCODINGS["mapped"], ENCODINGS["nat64"], ENCODINGS["compatible"]):
        assert open_house.judge(str(encode(IPv4Address("10.0.0.5"))), 3478) == OWN_LISTENER


def test_the_host_of_a_listener_is_closed_but_for_what_names_it() -> None:
    """Other services live on it; it opens to relayed ports as a relay address, and wholly by peers.allow."""
    listener = Address("8.8.4.4", 3478)
    assert PeerPolicy.parse(own_listeners=[listener]).judge("8.8.4.4") == OWN_LISTENER
    assert PeerPolicy.parse(own_listeners=[listener]).judge("8.8.4.4", 5000) == OWN_LISTENER
    relaying = PeerPolicy.parse(own_listeners=[listener], own_relays=["8.8.4.4"])
    assert relaying.judge("8.8.4.4") == relaying.judge("8.8.4.4", 5000) == OWN_RELAY
    assert relaying.judge("8.8.4.4", 3478) == OWN_LISTENER


def test_an_advertised_address_is_judged_as_the_bound_one() -> None:
    policy = PeerPolicy.parse(
        own_relays=["10.0.0.5"], own_listeners=[Address("10.0.0.5", 3478)], aliases={"8.8.4.4": "10.0.0.5"}
    )
    assert policy.judge("8.8.4.4") == policy.judge("::ffff:8.8.4.4") == OWN_RELAY
    assert policy.judge("8.8.4.4", 3478) == OWN_LISTENER
    assert PeerPolicy.parse(aliases={"8.8.4.4": "10.0.0.5"}).judge("8.8.4.4").peer_class is PeerClass.PRIVATE


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_listener_on_all_addresses_has_to_be_spelled_out(host: str) -> None:
    with pytest.raises(ValueError, match="name each of them"):
        PeerPolicy.parse(own_listeners=[Address(host, 3478)])


@pytest.mark.parametrize("host", ["0.0.0.0", "224.0.0.1", "2002::1", "::"])
def test_a_relay_address_that_no_machine_has_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="name an address of this machine"):
        PeerPolicy.parse(own_relays=[host])


@pytest.mark.parametrize("aliases", [{"8.8.8.8": "::1"}, {"::1": "8.8.8.8"}, {"relay.example": "8.8.8.8"}])
def test_an_alias_stays_in_its_family(aliases: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"families|names are not looked up"):
        PeerPolicy.parse(aliases=aliases)


def test_a_host_that_is_no_address_is_not_judged() -> None:
    with pytest.raises(OSError, match="illegal IP address"):
        DEFAULT.judge("peer.example")
    assert DEFAULT.judge("fe80::1%eth0").peer_class is PeerClass.LINK_LOCAL


@given(ipv4_hosts, st.sampled_from(list(ENCODINGS)))
def test_by_default_an_encoding_is_never_more_open_than_the_address_inside(address: IPv4Address, name: str) -> None:
    assert DEFAULT.judge(str(ENCODINGS[name](address))).allowed <= DEFAULT.judge(str(address)).allowed
