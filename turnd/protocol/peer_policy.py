"""Which peers the relay may reach: a relay that reaches everything hands its own network to strangers.

An address is judged as a number, in one table per family that is made once. An IPv6 address that carries an IPv4
address is judged as both, and the stricter verdict holds: an encoding never opens what the plain address does not.

Who is asked first: what is never relayed to, then peers.deny, peers.allow, our own relay addresses, our own listeners'
hosts and all others of this machine, the special-purpose addresses (denied), everybody else (allowed).
"""

import enum
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fairlead.datagram import Address, pack_host
from turnd.protocol.address_ranges import IPV4_BITS, IPV6_BITS, AddressRange, RangeMap, parse_host, parse_range
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
    #: Another address of this machine.
    OWN_HOST = "own_host"
    #: Named by peers.deny or peers.allow.
    CUSTOM = "custom"
    #: Outside of the fence of a room; no address is of this kind by itself.
    NOT_ANNOUNCED = "not_announced"


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
WRAPPERS = ("::/96", "::ffff:0:0:0/96", "::ffff:0:0/96", "64:ff9b::/96")
#: All other IPv6 unicast addresses that anybody was given lie here.
GLOBAL_UNICAST = "2000::/3"

_Layer = tuple[AddressRange, Verdict]

_OWN_LISTENER = Verdict(False, Ports.ANY, PeerClass.OWN_LISTENER)
_OWN_HOST = Verdict(False, Ports.ANY, PeerClass.OWN_HOST)
_OWN_RELAY = Verdict(True, Ports.OWN_RELAYED, PeerClass.OWN_RELAY)
_PUBLIC = Verdict(True, Ports.ANY, PeerClass.PUBLIC)

_SPECIAL: tuple[_Layer, ...] = tuple(
    (parse_range(text), Verdict(False, Ports.ANY, peer_class)) for peer_class, networks in SPECIAL for text in networks
)
_NEVER = tuple(layer for layer in _SPECIAL if layer[1].peer_class in NEVER)
_WRAPPERS = tuple(parse_range(text) for text in WRAPPERS)
#: What holds for addresses that nobody says more about.
_GROUND: tuple[_Layer, ...] = (
    *((wrapper, _PUBLIC) for wrapper in _WRAPPERS),
    (parse_range(GLOBAL_UNICAST), _PUBLIC),
    (parse_range("0.0.0.0/0"), _PUBLIC),
    (parse_range("::/0"), Verdict(False, Ports.ANY, PeerClass.RESERVED)),
)


def _of_family(layers: Iterable[_Layer], bits: int) -> list[_Layer]:
    return [layer for layer in layers if layer[0].bits == bits]


def _words() -> dict[str, list[AddressRange]]:
    """The addresses of each class, without those that an earlier class has taken."""
    found: dict[str, list[AddressRange]] = {}
    for bits in (IPV4_BITS, IPV6_BITS):
        for first, last, verdict in RangeMap(_of_family((*_SPECIAL, *_GROUND), bits)).runs():
            found.setdefault(verdict.peer_class.value, []).append(AddressRange(bits, first, last))
    return found


_WORDS = _words()

_EMBEDDING = frozenset(wrapper.first >> 32 for wrapper in _WRAPPERS)
_LOCAL_NAT64 = parse_range("64:ff9b:1::/48").first >> 80


def _embedded(number: int) -> int | None:
    """The IPv4 address inside an IPv6 address, None where there is none. `::` and `::1` are addresses of their own.

    In the local NAT64 prefix (RFC 8215) it is looked for in the last 32 bits; Teredo and 6to4 need no unwrapping.
    """
    if (number >> 32 in _EMBEDDING and number > 1) or number >> 80 == _LOCAL_NAT64:
        return number & 0xFFFFFFFF
    return None


def _openness(verdict: Verdict) -> int:
    return verdict.allowed * (2 if verdict.ports is Ports.ANY else 1)


class _FamilyPolicy:
    """The verdicts on the addresses of one family, as numbers."""

    def __init__(self, layers: Iterable[_Layer], bits: int) -> None:
        self._verdicts = RangeMap(_of_family(layers, bits))
        self.listeners: set[tuple[int, int]] = set()
        self.aliases: dict[int, int] = {}

    def judge(self, number: int, port: int | None) -> Verdict:
        number = self.aliases.get(number, number)
        return _OWN_LISTENER if (number, port) in self.listeners else self._verdicts[number]


class PeerPolicy:
    """The verdict on every peer address, made by `parse`."""

    def __init__(self, ipv4: _FamilyPolicy, ipv6: _FamilyPolicy) -> None:
        self._ipv4 = ipv4
        self._ipv6 = ipv6

    @classmethod
    def parse(
        cls,
        deny: Iterable[str] = (),
        allow: Iterable[str] = (),
        own_relays: Iterable[str] = (),
        own_listeners: Iterable[Address] = (),
        own_hosts: Iterable[str] = (),
        aliases: Mapping[str, str] | None = None,
    ) -> "PeerPolicy":
        """Makes a policy; raises ValueError, with what to write instead, on any entry that means nothing.

        Entries of `deny` and `allow` are addresses, CIDR networks, ranges FIRST-LAST, or words of PeerClass.
        `own_relays` are hosts that our relay sockets are bound to: reachable at relayed ports only. `own_listeners` are
        never reachable, and other ports of their hosts, or of any of `own_hosts`, only where `allow` or `own_relays`
        names the host: what else runs on this machine is not for strangers because it relays.
        `aliases` maps advertised hosts to the bound ones that they stand for (1:1 NAT).
        """
        listeners = [_listener(address) for address in own_listeners]
        layers = (
            *_NEVER,
            *_configured(deny, False),
            *_configured(allow, True),
            *((_own_relay(host), _OWN_RELAY) for host in own_relays),
            *((host, _OWN_LISTENER) for host, _ in listeners),
            *_SPECIAL,
            *((parse_host(host), _OWN_HOST) for host in own_hosts),
            *_GROUND,
        )
        families = {bits: _FamilyPolicy(layers, bits) for bits in (IPV4_BITS, IPV6_BITS)}
        for host, port in listeners:
            families[host.bits].listeners.add((host.first, port))
        for told, bound in (aliases or {}).items():
            outside, inside = parse_host(told), parse_host(bound)
            if outside.bits != inside.bits:
                raise ValueError(f"{told} cannot stand for {bound}: they are of different families")
            families[outside.bits].aliases[outside.first] = inside.first
        return cls(families[IPV4_BITS], families[IPV6_BITS])

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


def _own_relay(host: str) -> AddressRange:
    found = parse_host(host)
    if any(found.lies_in(never) for never, _ in _NEVER):
        raise ValueError(f"{host} cannot be a relay address; name an address of this machine")
    return found


def _listener(address: Address) -> tuple[AddressRange, int]:
    host = parse_host(address.host)
    if not host.first:
        raise ValueError(f"{address} stands for all addresses of this machine; name each of them")
    return host, address.port


def _configured(entries: Iterable[str], allowed: bool) -> list[_Layer]:
    verdict = Verdict(allowed, Ports.ANY, PeerClass.CUSTOM)
    return [(found, verdict) for entry in entries for found in _parse_entry(entry.strip(), allowed)]


def _parse_entry(entry: str, allowed: bool) -> list[AddressRange]:
    found = _WORDS.get(entry) or [_parse_range(entry)]
    if allowed and any(part.lies_in(never) for part in found for never, _ in _NEVER):
        raise ValueError(f"{entry!r} is never relayed to, whatever is configured; remove it")
    return found


def _parse_range(entry: str) -> AddressRange:
    if entry.isidentifier():
        raise ValueError(f"{entry!r} is no class of addresses; write one of {', '.join(sorted(_WORDS))}")
    found = parse_range(entry)
    # Such an entry would open nothing, and close one of the forms of an address that has others.
    if found.last > 1 and any(found.lies_in(wrapper) and found != wrapper for wrapper in _WRAPPERS):
        plain = AddressRange(IPV4_BITS, found.first & 0xFFFFFFFF, found.last & 0xFFFFFFFF)
        raise ValueError(f"{entry!r} is an IPv4 address in another form; write {plain}, which stands for all forms")
    return found
