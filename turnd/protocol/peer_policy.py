"""Which peers the relay may reach: a relay that reaches everything hands its own network to strangers.

An address is judged as a number, in one table per family that is made once. An IPv6 address that carries an IPv4
address is judged as both, and the stricter verdict holds: an encoding never opens what the plain address does not.

Who is asked first: what is never relayed to, then peers.deny, peers.allow, our own relay addresses, our own listeners'
hosts, the special-purpose addresses (denied), everybody else (allowed).
"""

import enum
import heapq
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from fairlead.datagram import Address, pack_host
from turnd.routes import Ports


class PeerClass(enum.StrEnum):
    """What an address is for; the words may be used in peers.allow and peers.deny."""

    PUBLIC = "public"
    UNSPECIFIED = "unspecified"
    LOOPBACK = "loopback"
    LINK_LOCAL = "link_local"
    PRIVATE = "private"
    UNIQUE_LOCAL = "unique_local"
    CGNAT = "cgnat"
    BENCHMARKING = "benchmarking"
    DOCUMENTATION = "documentation"
    MULTICAST = "multicast"
    BROADCAST = "broadcast"
    RESERVED = "reserved"
    METADATA = "metadata"
    TEREDO = "teredo"
    SIX_TO_FOUR = "six_to_four"
    NAT64 = "nat64"
    OWN_LISTENER = "own_listener"
    OWN_RELAY = "own_relay"
    #: Named by peers.deny or peers.allow.
    CUSTOM = "custom"


class Verdict(NamedTuple):
    """`ports` says which ports of an allowed host may be reached; `peer_class` why it was judged so."""

    allowed: bool
    ports: Ports
    peer_class: PeerClass


#: What no configuration opens (RFC 8656 section 21.4 for the tunnels).
NEVER = (
    PeerClass.UNSPECIFIED,
    PeerClass.MULTICAST,
    PeerClass.BROADCAST,
    PeerClass.TEREDO,
    PeerClass.SIX_TO_FOUR,
)

#: Special-purpose addresses (the IANA registries of RFC 6890) and the places where clouds hand out secrets. An earlier
#: row wins over a later one.
SPECIAL: tuple[tuple[PeerClass, tuple[str, ...]], ...] = (
    (PeerClass.UNSPECIFIED, ("0.0.0.0/8", "::/128")),
    (PeerClass.BROADCAST, ("255.255.255.255/32",)),
    (PeerClass.MULTICAST, ("224.0.0.0/4", "ff00::/8")),
    (PeerClass.TEREDO, ("2001::/32",)),
    (PeerClass.SIX_TO_FOUR, ("2002::/16", "192.88.99.0/24")),
    (
        PeerClass.METADATA,
        (
            "169.254.169.254/32",  # nearly everybody
            "169.254.170.2/32",  # Amazon ECS
            "169.254.170.23/32",  # Amazon EKS
            "fd00:ec2::/32",  # Amazon
            "fd20:ce::254/128",  # Google
            "fd00:42::42/128",  # Scaleway
            "100.100.100.200/32",  # Alibaba
            "192.0.0.192/32",  # Oracle
            "168.63.129.16/32",  # Azure
        ),
    ),
    (PeerClass.LOOPBACK, ("127.0.0.0/8", "::1/128")),
    (PeerClass.LINK_LOCAL, ("169.254.0.0/16", "fe80::/10")),
    (PeerClass.PRIVATE, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fec0::/10")),
    (PeerClass.UNIQUE_LOCAL, ("fc00::/7",)),
    (PeerClass.CGNAT, ("100.64.0.0/10",)),
    (PeerClass.BENCHMARKING, ("198.18.0.0/15", "2001:2::/48")),
    (
        PeerClass.DOCUMENTATION,
        ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
    ),
    (PeerClass.NAT64, ("64:ff9b:1::/48",)),
    (PeerClass.RESERVED, ("192.0.0.0/24", "240.0.0.0/4", "2001::/23")),
)

#: IPv6 prefixes of 96 bits with an IPv4 address behind them: IPv4-compatible, -translated and -mapped, NAT64.
_WRAPPERS = ("::/96", "::ffff:0:0:0/96", "::ffff:0:0/96", "64:ff9b::/96")
#: All other IPv6 unicast addresses that anybody was given lie here.
_GLOBAL_UNICAST = "2000::/3"


class _Range(NamedTuple):
    """Addresses of one family as numbers, both ends included; `bits` is 32 or 128."""

    bits: int
    first: int
    last: int


class _Layer(NamedTuple):
    """Addresses with what is to be said about them."""

    range: _Range
    verdict: Verdict


class _Table:
    """The verdicts of one family: where each run of addresses begins, and what holds from there on."""

    def __init__(self, layers: Iterable[_Layer]) -> None:
        self.starts: list[int] = []
        self.verdicts: list[Verdict] = []
        self._flatten(list(layers))
        self.listeners: set[tuple[int, int]] = set()
        self.aliases: dict[int, int] = {}

    def judge(self, number: int, port: int | None) -> Verdict:
        number = self.aliases.get(number, number)
        if (number, port) in self.listeners:
            return _OWN_LISTENER
        return self.verdicts[bisect_right(self.starts, number) - 1]

    def _flatten(self, layers: list[_Layer]) -> None:
        """Of overlapping layers the earlier one wins; the last one covers all addresses."""
        coming = sorted(enumerate(layers), key=lambda item: item[1].range.first, reverse=True)
        edges = sorted({edge for layer in layers for edge in (layer.range.first, layer.range.last + 1)})
        active: list[tuple[int, int, Verdict]] = []
        for edge in edges[:-1]:
            while coming and coming[-1][1].range.first <= edge:
                rank, layer = coming.pop()
                heapq.heappush(active, (rank, layer.range.last, layer.verdict))
            while active[0][1] < edge:
                heapq.heappop(active)
            if not self.verdicts or self.verdicts[-1] != active[0][2]:
                self.starts.append(edge)
                self.verdicts.append(active[0][2])


_OWN_LISTENER = Verdict(False, Ports.ANY, PeerClass.OWN_LISTENER)


def _network(text: str) -> _Range:
    network = ip_network(text)
    return _Range(network.max_prefixlen, int(network.network_address), int(network.broadcast_address))


def _special(classes: Collection[PeerClass]) -> list[_Layer]:
    """The rows of these classes, denied."""
    return [
        _Layer(_network(text), Verdict(False, Ports.ANY, peer_class))
        for peer_class, networks in SPECIAL
        if peer_class in classes
        for text in networks
    ]


def _ground() -> list[_Layer]:
    """What holds for addresses that nobody says more about."""
    public = Verdict(True, Ports.ANY, PeerClass.PUBLIC)
    reserved = Verdict(False, Ports.ANY, PeerClass.RESERVED)
    open_networks = (*_WRAPPERS, _GLOBAL_UNICAST, "0.0.0.0/0")
    return [*(_Layer(_network(text), public) for text in open_networks), _Layer(_network("::/0"), reserved)]


def _of_family(layers: Iterable[_Layer], bits: int) -> list[_Layer]:
    return [layer for layer in layers if layer.range.bits == bits]


_EMBEDDING = frozenset(_network(text).first >> 32 for text in _WRAPPERS)
_LOCAL_NAT64 = _network("64:ff9b:1::/48").first >> 80


def _embedded(number: int) -> int | None:
    """The IPv4 address inside an IPv6 address, None where there is none. `::` and `::1` are addresses of their own.

    In the local NAT64 prefix (RFC 8215) it is looked for in the last 32 bits; teredo and 6to4 need no unwrapping.
    """
    if (number >> 32 in _EMBEDDING and number > 1) or number >> 80 == _LOCAL_NAT64:
        return number & 0xFFFFFFFF
    return None


def _openness(verdict: Verdict) -> int:
    return verdict.allowed * (2 if verdict.ports is Ports.ANY else 1)


class PeerPolicy:
    """The verdict on every peer address, made by `parse`."""

    def __init__(self, ipv4: _Table, ipv6: _Table) -> None:
        self._ipv4 = ipv4
        self._ipv6 = ipv6

    @classmethod
    def parse(
        cls,
        deny: Iterable[str] = (),
        allow: Iterable[str] = (),
        own_relays: Iterable[str] = (),
        own_listeners: Iterable[Address] = (),
        aliases: Mapping[str, str] | None = None,
    ) -> "PeerPolicy":
        """Makes a policy; raises ValueError, with what to write instead, on any entry that means nothing.

        Entries of `deny` and `allow` are addresses, CIDR networks, ranges FIRST-LAST, or words of PeerClass.
        `own_relays` are hosts that our relay sockets are bound to: reachable at relayed ports only. `own_listeners` are
        never reachable, and other ports of their hosts only where `allow` or `own_relays` names the host.
        `aliases` maps advertised hosts to the bound ones that they stand for (1:1 NAT).
        """
        listeners = [_listener(address) for address in own_listeners]
        layers = [
            *_special(NEVER),
            *_configured(deny, False),
            *_configured(allow, True),
            *(_Layer(_own_relay(host), Verdict(True, Ports.OWN_RELAYED, PeerClass.OWN_RELAY)) for host in own_relays),
            *(_Layer(host, _OWN_LISTENER) for host, _ in listeners),
            *_special(set(PeerClass)),
            *_ground(),
        ]
        ipv4, ipv6 = _Table(_of_family(layers, 32)), _Table(_of_family(layers, 128))
        for host, port in listeners:
            (ipv4 if host.bits == 32 else ipv6).listeners.add((host.first, port))
        for told, bound in (aliases or {}).items():
            outside, inside = _host(told), _host(bound)
            if outside.bits != inside.bits:
                raise ValueError(f"{told} cannot stand for {bound}: they are of different families")
            (ipv4 if outside.bits == 32 else ipv6).aliases[outside.first] = inside.first
        return cls(ipv4, ipv6)

    def judge(self, host: str, port: int | None = None) -> Verdict:
        """May this host be a peer? Without a port (CreatePermission) the host alone is judged; whoever knows the
        port of a packet asks again with it. Raises OSError when the host is no IP address."""
        packed = pack_host(host)
        number = int.from_bytes(packed)
        if len(packed) == 4:
            return self._ipv4.judge(number, port)
        verdict = self._ipv6.judge(number, port)
        inner = _embedded(number)
        return verdict if inner is None else min(self._ipv4.judge(inner, port), verdict, key=_openness)


def _host(text: str) -> _Range:
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError(f"{text!r} is no IP address; names are not looked up here") from None
    return _Range(address.max_prefixlen, int(address), int(address))


def _own_relay(host: str) -> _Range:
    found = _host(host)
    if _is_inside(found, _special(NEVER)):
        raise ValueError(f"{host} cannot be a relay address; name an address of this machine")
    return found


def _listener(address: Address) -> tuple[_Range, int]:
    host = _host(address.host)
    if not host.first:
        raise ValueError(f"{address} stands for all addresses of this machine; name each of them")
    return host, address.port


def _is_inside(found: _Range, layers: Iterable[_Layer]) -> bool:
    return any(
        row.range.bits == found.bits and row.range.first <= found.first and found.last <= row.range.last
        for row in layers
    )


def _configured(entries: Iterable[str], allowed: bool) -> list[_Layer]:
    verdict = Verdict(allowed, Ports.ANY, PeerClass.CUSTOM)
    layers = []
    for entry in entries:
        for found in _parse_entry(entry.strip()):
            if allowed and _is_inside(found, _special(NEVER)):
                raise ValueError(f"{entry!r} is never relayed to, whatever is configured; remove it")
            layers.append(_Layer(found, verdict))
    return layers


def _parse_entry(entry: str) -> list[_Range]:
    if entry in _WORDS:
        return _WORDS[PeerClass(entry)]
    if "%" in entry:
        raise ValueError(f"{entry!r} has a zone; write the address without it")
    if "-" in entry:
        return [_parse_range(entry)]
    try:
        return [_network(entry)]
    except ValueError:
        raise ValueError(f"{entry!r} is {_what_is_wrong(entry)}") from None


def _parse_range(entry: str) -> _Range:
    first, _, last = (part.strip() for part in entry.partition("-"))
    try:
        lower, upper = ip_address(first), ip_address(last)
    except ValueError:
        raise ValueError(f"{entry!r} is no range; write FIRST-LAST, two IP addresses") from None
    if lower.version != upper.version:
        raise ValueError(f"{entry!r} begins in one address family and ends in the other; write two ranges")
    if int(lower) > int(upper):
        raise ValueError(f"{entry!r} ends before it begins; write {upper}-{lower}")
    return _Range(lower.max_prefixlen, int(lower), int(upper))


def _what_is_wrong(entry: str) -> str:
    try:
        return f"no network, since bits behind its prefix are set; write {ip_network(entry, strict=False)}"
    except ValueError:
        words = ", ".join(sorted(_WORDS))
        return f"no address; write an IP address, a network (10.0.0.0/8), a range (10.0.0.1-10.0.0.9) or one of {words}"


def _words() -> dict[PeerClass, list[_Range]]:
    """The addresses of each class, without those that an earlier class has taken."""
    found: dict[PeerClass, list[_Range]] = {}
    for bits in (32, 128):
        table = _Table(_of_family([*_special(set(PeerClass)), *_ground()], bits))
        ends = [*table.starts[1:], 1 << bits]
        for first, end, verdict in zip(table.starts, ends, table.verdicts, strict=True):
            found.setdefault(verdict.peer_class, []).append(_Range(bits, first, end - 1))
    return found


_WORDS = _words()
