"""Any policy against a plain reading of its order with the standard library, and encodings under any policy."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network, summarize_address_range
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.datagram import Address
from tests.turnd.protocol.encodings import ENCODINGS, SPECIAL_IPV4, SPECIAL_IPV6
from turnd.protocol.peer_policy import PeerClass, PeerPolicy, Verdict
from turnd.routes import Ports

Host = IPv4Address | IPv6Address
NEVER = {
    PeerClass.UNSPECIFIED,
    PeerClass.MULTICAST,
    PeerClass.BROADCAST,
    PeerClass.TEREDO,
    PeerClass.SIX_TO_FOUR,
}
SPECIAL = {ip_network(text): peer_class for text, peer_class in (SPECIAL_IPV4 | SPECIAL_IPV6).items()}
SPECIAL[ip_network("2001::/23")] = PeerClass.RESERVED
WRAPPERS = [ip_network(text) for text in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")]
EVERYTHING = [ip_network("0.0.0.0/0"), ip_network("::/0")]

#: Where the interesting addresses lie; numbers near each other, so that entries, hosts and ranges overlap.
bases = st.sampled_from(["8.8.8.0", "10.0.0.0", "127.0.0.0", "169.254.169.248", "239.255.255.250", "2600::", "fd00::"])
hosts = st.builds(lambda base, step: ip_address(base) + step, bases, st.integers(0, 9))
encoded = st.builds(
    lambda address, name: ENCODINGS[name](address),
    hosts.filter(lambda h: h.version == 4),
    st.sampled_from([*ENCODINGS]),
)


def _range(first: Host, length: int) -> str:
    return f"{first}-{first + length}"


entries = (
    hosts.map(str)
    | encoded.filter(lambda host: embedded(host) is None).map(str)
    | st.builds(_range, hosts, st.integers(0, 5))
    | st.builds(
        lambda host, bits: str(ip_network((host, host.max_prefixlen - bits), strict=False)), hosts, st.integers(0, 4)
    )
    | st.sampled_from(["0.0.0.0/0", "::/0", "::ffff:0:0/96", "64:ff9b:1::/48", "10.0.0.0/8", "127.0.0.0/8"])
)


def networks(entry: str) -> list[Any]:
    first, dash, last = entry.partition("-")
    if dash:
        return list(summarize_address_range(ip_address(first), ip_address(last)))
    return [ip_network(entry)]


def covers(listed: Sequence[str], host: Host) -> bool:
    return any(host in network for entry in listed for network in networks(entry))


def special_class(host: Host) -> PeerClass | None:
    around = [network for network in SPECIAL if host in network]
    return SPECIAL[max(around, key=lambda network: network.prefixlen)] if around else None


def is_never_open(entry: str) -> bool:
    closed = [network for network, peer_class in SPECIAL.items() if peer_class in NEVER]
    parts = networks(entry)
    return any(all(part.version == network.version and part.subnet_of(network) for part in parts) for network in closed)


class Policy(NamedTuple):
    deny: Sequence[str]
    allow: Sequence[str]
    relays: Sequence[Host]
    listeners: Sequence[tuple[Host, int]]

    def parse(self) -> PeerPolicy:
        return PeerPolicy.parse(
            self.deny, self.allow, map(str, self.relays), [Address(str(host), port) for host, port in self.listeners]
        )

    def judge(self, host: Host, port: int | None) -> Verdict:
        """The order of the rules, read aloud."""
        verdict = self.judge_as_it_stands(host, port)
        inner = embedded(host)
        if inner is None:
            return verdict
        inside = self.judge_as_it_stands(inner, port)
        return inside if openness(inside) <= openness(verdict) else verdict

    def judge_as_it_stands(self, host: Host, port: int | None) -> Verdict:
        special = special_class(host)
        if (host, port) in self.listeners:
            return Verdict(False, Ports.ANY, PeerClass.OWN_LISTENER)
        if special in NEVER:
            return Verdict(False, Ports.ANY, special)
        if covers(self.deny, host):
            return Verdict(False, Ports.ANY, PeerClass.CUSTOM)
        if covers(self.allow, host):
            return Verdict(True, Ports.ANY, PeerClass.CUSTOM)
        if host in self.relays:
            return Verdict(True, Ports.OWN_RELAYED, PeerClass.OWN_RELAY)
        if host in [listener for listener, _ in self.listeners]:
            return Verdict(False, Ports.ANY, PeerClass.OWN_LISTENER)
        if special is not None:
            return Verdict(False, Ports.ANY, special)
        if host.version == 4 or host in ip_network("2000::/3") or any(host in network for network in WRAPPERS):
            return Verdict(True, Ports.ANY, PeerClass.PUBLIC)
        return Verdict(False, Ports.ANY, PeerClass.RESERVED)


def embedded(host: Host) -> IPv4Address | None:
    if host.version == 4 or int(host) < 2:
        return None
    if any(host in network for network in [*WRAPPERS, ip_network("64:ff9b:1::/48")]):
        return IPv4Address(int(host) & 0xFFFFFFFF)
    return None


def openness(verdict: Verdict) -> int:
    return {(False, Ports.ANY): 0, (True, Ports.OWN_RELAYED): 1, (True, Ports.ANY): 2}[verdict.allowed, verdict.ports]


own_hosts = hosts.filter(lambda host: special_class(host) not in NEVER)
policies = st.builds(
    Policy,
    deny=st.lists(entries, max_size=3),
    allow=st.lists(entries.filter(lambda entry: not is_never_open(entry)), max_size=3),
    relays=st.lists(own_hosts, max_size=2),
    listeners=st.lists(st.tuples(own_hosts, st.sampled_from([3478, 3479])), max_size=2),
)
ports = st.sampled_from([None, 3478, 3479, 50000])


@settings(max_examples=250)
@given(policies, st.lists(hosts | encoded | st.ip_addresses(), min_size=1, max_size=8), ports)
def test_the_order_of_the_rules(policy: Policy, peers: list[Host], port: int | None) -> None:
    judged = policy.parse()
    for peer in peers:
        assert judged.judge(str(peer), port) == policy.judge(peer, port), peer


@settings(max_examples=250)
@given(policies, st.lists(hosts.filter(lambda h: h.version == 4), min_size=1, max_size=4), ports)
def test_under_any_policy_an_encoding_is_never_more_open_than_the_address_inside(
    policy: Policy, peers: list[IPv4Address], port: int | None
) -> None:
    judged = policy.parse()
    for peer in peers:
        plain = openness(judged.judge(str(peer), port))
        for name, encode in ENCODINGS.items():
            assert openness(judged.judge(str(encode(peer)), port)) <= plain, name
